// Lines that functions on a pool's threads log, on their way to the loop: none stays behind, and the loop is asked to
// fetch once for all that wait.
//
// models: src/threads/thread_log.hpp src/threads/thread_log.cpp
//   thread: ThreadLogRoute::send()      loop: fetch(), when it is asked and with each job that has ended
//
// asserted: when nothing moves any more, all lines are with the loop; of requests that were posted one waits.
//
// holds: safety
// fails: safety FLAG_AFTER: a thread says that something waits when it has left its lock
// fails: safety CLEARED_AFTER: the loop says that nothing waits when it has left its lock
// fails: safety NEVER_ASKS_AGAIN: a fetch does not note that the next line has to ask again
#define THREADS 2
#define LINES 2

bool something_waits = false;
bool locked = false;
byte lines = 0, fetched = 0;
bool fetch_asked = false;
byte requests = 0;  // posted to the loop
byte jobs = 0;      // that have ended, and the loop has not seen

#define LOCK d_step { !locked -> locked = true }
#define UNLOCK locked = false

proctype thread() {
  byte sent = 0;
  do
  :: sent < LINES ->
     LOCK;
#ifndef FLAG_AFTER
     something_waits = true;
#endif
     if
     :: !fetch_asked -> requests++; fetch_asked = true
     :: else
     fi;
     d_step { lines++; sent++ }
     UNLOCK
#ifdef FLAG_AFTER
     ;
     something_waits = true
#endif
  :: else -> break
  od;
  if
  :: jobs++
  :: true  // its function runs for good
  fi
}

inline fetch() {
  if
  :: something_waits ->
     LOCK;
#ifndef CLEARED_AFTER
     something_waits = false;
#endif
     d_step { fetched = fetched + lines; lines = 0 }
#ifndef NEVER_ASKS_AGAIN
     fetch_asked = false;
#endif
     UNLOCK
#ifdef CLEARED_AFTER
     ;
     something_waits = false
#endif
  :: else
  fi
}

proctype loop() {
end_idle:
  do
  :: d_step { requests > 0 -> requests-- }
     fetch()
  :: d_step { jobs > 0 -> jobs-- }
     fetch()
  od
}

init {
  atomic { run thread(); run thread(); run loop() }
  timeout ->
  assert(lines == 0 && fetched == THREADS * LINES)
}
