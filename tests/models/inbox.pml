// How threads hand results back to a loop and post to it: the loop never sleeps with something there, and after the end
// nothing is lost.
//
// models: src/loop/inbox.hpp src/base/spsc_ring.hpp
//   push, acknowledge, pop, clear: SpscRing's       hand_back, ring_doorbell, take_handed_back, close: Inbox's
//   loop: LoopCore::turn() with Inbox::try_enter_interrupt_mode()      poster: Inbox::post()
// Elements are numbers, and 0 is null. The mailbox of what is posted is a number here: mailbox.pml is about it. A write
// to the eventfd is an edge that the loop's poll reports once; something else may wake the loop, too.
//
// asserted: a thread's results come in their order; a thread calls the loop once until that has come (the check in
// hand_back()); when nothing moves any more, all was fetched; and after a close all was fetched or destroyed, once.
//
// holds: safety
// holds: safety THREADS=1 PUSHES=5
// holds: safety CLOSES
// fails: safety NOTIFIED_LAST: the loop looks what is in a ring and then notes that it was there
// fails: safety PUSH_AFTER_LOOK: a thread looks whether it has called and then adds the result
// fails: safety THREADS=1 PUSHES=3 NO_EXCHANGE: a thread looks whether it has called and then stores that it has
// fails: safety ACKNOWLEDGES_FIRST: the loop acknowledges a call before it has read the caller's link
// fails: safety NO_SECOND_LOOK: the loop sleeps without looking once more after it said that it sleeps
// fails: safety RINGS_FIRST: a thread rings and then joins the list of callers
// fails: safety LOOKS_FIRST: the loop looks whether it may sleep and then says that it sleeps
// fails: safety CLOSES LEFT_OPEN: who comes after the close does not clear its ring
// fails: safety CLOSES CLOSED_BY_STORE: the end takes the list of callers by looking and then storing
// fails: safety CLOSES CLEAR_NOTES_LAST: the end empties a ring's places and then notes that it was there
#ifndef THREADS
#define THREADS 2
#endif
#ifndef PUSHES
#define PUSHES 2
#endif
#define PLACES 2
#define CLOSED 9

#define PLACE(t, position) place[(t) * PLACES + (position) % PLACES]

byte place[THREADS * PLACES];
byte tail[THREADS];
bool notified[THREADS];
bool self[THREADS];   // HandedBack::self
byte next[THREADS];   // HandedBack::next
byte fetched[THREADS];
byte destroyed[THREADS];
byte finished = 0;    // the list of callers: 0, a thread's number + 1, or CLOSED
byte posted = 0;      // CLOSED when closed
byte posts_run = 0, posts_destroyed = 0;
bool sleeping = true;
bool doorbell = false;
bool woken_otherwise = false;

inline ring_doorbell() {
  if
  :: sleeping ->
     d_step {
       rings = sleeping;
       sleeping = false
     }
     if
     :: rings -> doorbell = true
     :: else
     fi;
     rings = false
  :: else
  fi
}

// Either of the two.
inline clear(t, count) {
#ifndef CLEAR_NOTES_LAST
  notified[t] = false;
#endif
  count = 0;
  do
  :: count < PLACES ->
     d_step {
       if
       :: PLACE(t, count) != 0 -> PLACE(t, count) = 0; destroyed[t]++
       :: else
       fi;
       count++
     }
  :: else -> break
  od;
#ifdef CLEAR_NOTES_LAST
  notified[t] = false;
#endif
  count = 0
}

proctype thread(byte me) {
  byte pushed = 0, first, at;
  bool calls, rings;
  do
  :: pushed < PUSHES ->
     pushed - fetched[me] - destroyed[me] < PLACES;  // the pool sees to that
#ifdef PUSH_AFTER_LOOK
     calls = !notified[me];
     if
     :: calls -> d_step { calls = !notified[me]; notified[me] = true }
     :: else
     fi;
     PLACE(me, pushed) = pushed + 1;
     d_step { pushed++; tail[me] = pushed }
#else
     PLACE(me, pushed) = pushed + 1;
     d_step { pushed++; tail[me] = pushed }
     calls = !notified[me];
#ifdef NO_EXCHANGE
     notified[me] = true;
#else
     if
     :: calls -> d_step { calls = !notified[me]; notified[me] = true }
     :: else
     fi;
#endif
#endif
     if
     :: calls ->
        d_step { assert(!self[me]); self[me] = true; calls = false; first = finished }
#ifdef RINGS_FIRST
        ring_doorbell();
#endif
        do
        :: first == CLOSED ->
           self[me] = false;
#ifndef LEFT_OPEN
           clear(me, at);
#endif
           break
        :: else ->
           d_step {
             next[me] = first;
             calls = finished == first;
             if
             :: calls -> finished = me + 1
             :: else -> first = finished
             fi
           }
           if
           :: calls -> break
           :: else
           fi
        od;
#ifndef RINGS_FIRST
        if
        :: first != CLOSED -> ring_doorbell()
        :: else
        fi;
#endif
        atomic { first = 0; calls = false }
     :: else
     fi
  :: else -> break
  od;
}

proctype poster() {
  bool rings;
  d_step {
    if
    :: posted == CLOSED -> posts_destroyed++
    :: else -> posted++; rings = true
    fi
  }
  if
  :: rings -> rings = false; ring_doorbell()
  :: else
  fi
}

#define HAS_HANDED_BACK (finished != 0 && finished != CLOSED)

// Takes the first of the callers out.
inline next_of() {
  d_step {
    t = first - 1;
    assert(self[t]);
    self[t] = false;
    first = next[t]
  }
}

inline take_handed_back() {
  if
  :: HAS_HANDED_BACK ->
     d_step { first = finished; finished = 0 }
     do
     :: first != 0 ->
#ifndef ACKNOWLEDGES_FIRST
        next_of();
#else
        t = first - 1;
#endif
        // acknowledge()
#ifdef NOTIFIED_LAST
        seen = tail[t];
        notified[t] = false;
#else
        notified[t] = false;
        seen = tail[t];
#endif
#ifdef ACKNOWLEDGES_FIRST
        next_of();
#endif
        do
        :: fetched[t] != seen ->  // pop()
           d_step {
             assert(PLACE(t, fetched[t]) == fetched[t] + 1);
             PLACE(t, fetched[t]) = 0;
             fetched[t]++
           }
        :: else -> break
        od;
        atomic { t = 0; seen = 0 }
     :: else -> break
     od
  :: else
  fi
}

proctype loop() {
  byte first, t, seen, at;
  do
  :: sleeping = false;  // exit_interrupt_mode()
     take_handed_back();
     atomic { posts_run = posts_run + posted; posted = 0 }
#ifdef CLOSES
     if
     :: goto close
     :: true
     fi;
#endif
#ifndef LOOKS_FIRST
     sleeping = true;
#endif
#ifndef NO_SECOND_LOOK
     if
     :: posted == 0 && !HAS_HANDED_BACK ->
#endif
#ifdef LOOKS_FIRST
        sleeping = true;
#endif
end_asleep:
        if
        :: doorbell -> doorbell = false
#ifndef CLOSES
        :: !woken_otherwise -> woken_otherwise = true
#endif
        fi
#ifndef NO_SECOND_LOOK
     :: else
     fi
#endif
  od;
#ifdef CLOSES
close:
  atomic { posts_destroyed = posts_destroyed + posted; posted = CLOSED }
#ifdef CLOSED_BY_STORE
  first = finished;
  finished = CLOSED;
#else
  d_step { first = finished; finished = CLOSED }
#endif
  do
  :: first != 0 ->
     next_of();
     clear(t, at)
  :: else -> break
  od
#endif
}

init {
  byte i = 0;
  atomic {
    do
    :: i < THREADS -> run thread(i); i++
    :: else -> break
    od;
    i = 0;
    run poster();
    run loop()
  }
  timeout ->  // nothing moves any more
  do
  :: i < THREADS -> assert(fetched[i] + destroyed[i] == PUSHES); i++
  :: else -> break
  od;
  assert(posts_run + posts_destroyed == 1)
}
