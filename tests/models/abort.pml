// How an abort reaches what a pool's threads run: a job that a thread has taken before is asked to stop, one that was
// submitted after it is not.
//
// models: src/threads/pool_thread.hpp src/threads/pool_thread.cpp src/threads/thread_pool.cpp
//   thread: PoolThread::serve() with note_running()      loop: abort(), which ends what waits and then asks what runs
// Job 1 is submitted before the abort, job 2 after it. Where no stop is possible, the thread says what it runs without
// a single order with this; then there is nobody to ask.
//
// asserted: job 1 was ended where it waited, was asked to stop, or had ended before; job 2 is not asked.
//
// holds: safety
// fails: safety LOOKS_FIRST: a thread looks whether its job was aborted and then says that it runs it
// fails: safety ASKS_FIRST: the abort asks what runs and then says that it aborts
// fails: safety ALL_IDS: an abort is of all jobs, also of those submitted later
#define THREADS 2

byte queue = 0;        // the job in the ring
byte running[THREADS];
byte aborted_through = 0;
byte last_id = 0;
bool asked[3];
bool ended[3];         // where it waited
bool returned[3];

inline ask(job) {
  d_step { asked[job] = true }
}

proctype thread(byte me) {
  byte job;
end_idle:
  do
  :: d_step { queue != 0 -> job = queue; queue = 0 }
#ifdef LOOKS_FIRST
     if
     :: job <= aborted_through -> ask(job)
     :: else
     fi;
     running[me] = job;
#else
     running[me] = job;
#ifdef ALL_IDS
     if
     :: aborted_through != 0 -> ask(job)
#else
     if
     :: job <= aborted_through -> ask(job)
#endif
     :: else
     fi;
#endif
     // It ends by itself, or only when it is asked.
     if
     :: returned[job] = true
     :: job == 1 -> asked[job]
     fi;
     running[me] = 0;
     job = 0
  od
}

proctype loop() {
  byte i = 0;
  d_step { last_id = 1; queue = 1 }
  // abort()
  d_step {
    if
    :: queue != 0 -> ended[queue] = true; queue = 0
    :: else
    fi
  }
#ifndef ASKS_FIRST
  aborted_through = last_id;
#endif
  do
  :: i < THREADS ->
     if
     :: running[i] != 0 -> ask(running[i])
     :: else
     fi;
     i++
  :: else -> break
  od;
#ifdef ASKS_FIRST
  aborted_through = last_id;
#endif
  atomic { last_id = 2; queue = 2 }
}

init {
  atomic { run thread(0); run thread(1); run loop() }
  timeout ->
  assert(ended[1] || asked[1] || returned[1]);
  assert(!asked[2])
}
