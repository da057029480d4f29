// How threads hand results back to a loop and post to it: the loop never sleeps with something there, and after the end
// nothing is lost.
//
// models: src/loop/inbox.hpp src/loop/inbox.cpp src/base/spsc_ring.hpp src/threads/thread_pool.hpp src/threads/thread_pool.cpp
//   push, acknowledge, watch, unwatch, pop, clear: SpscRing's     hand_back, ring_doorbell, take_handed_back, close: Inbox's
//   loop: LoopCore::turn() with the pool's look_for_ends(), collect(), leave_rings() and try_enter_interrupt_mode(), and
//     the inbox's     poster: Inbox::post()
// Elements are numbers, and 0 is null; a place is an element and a round, and the consumer writes to it in clear() alone.
// The mailbox of what is posted is a number here: mailbox.pml is about it. A write to the eventfd is an edge that the
// loop's poll reports once; something else may wake the loop, too.
//
// asserted: a thread's results come in their order, once; a thread calls the loop once until that has come (the check in
// hand_back()); when nothing moves any more, all was fetched; and after a close all was fetched or destroyed, once.
//
// holds: safety
// holds: safety THREADS=1 PUSHES=5
// holds: safety THREADS=1 PUSHES=3 CLOSES
// holds: safety CLOSES
// fails: safety THREADS=1 PUSHES=3 ACKNOWLEDGES_LAST: the loop looks what is in a ring and then acknowledges the call
// fails: safety THREADS=1 PUSHES=3 PUSH_AFTER_LOOK: a thread looks whether it has to call and then adds the result
// fails: safety THREADS=1 PUSHES=3 NO_EXCHANGE: a thread looks whether it has to call and then stores that it has
// fails: safety PUSHES=2 ACKNOWLEDGES_FIRST: the loop acknowledges a call before it has read the caller's link
// fails: safety THREADS=1 PUSHES=3 WATCHES_CALLED: the loop looks by itself, also into a ring to which it is called
// fails: safety THREADS=1 PUSHES=3 NO_UNWATCH: the loop sleeps and is not called
// fails: safety THREADS=1 PUSHES=3 NO_LOOK_AFTER_UNWATCH: the loop does not look once more after it said that it has to be called
// fails: safety THREADS=1 PUSHES=3 UNWATCHES_LAST: the loop looks and then says that it has to be called
// fails: safety THREADS=1 PUSHES=3 UNWATCHES_CALLED: the loop says that it has to be called although it is
// fails: safety THREADS=1 PUSHES=3 NO_ROUND: any element is new, also one that was fetched when the ring last went round
// fails: safety NO_SECOND_LOOK: the loop sleeps without looking once more after it said that it sleeps
// fails: safety RINGS_FIRST: a thread rings and then joins the list of callers
// fails: safety LOOKS_FIRST: the loop looks whether it may sleep and then says that it sleeps
// fails: safety CLOSES LEFT_OPEN: who comes after the close does not clear its ring
// fails: safety CLOSES CLOSED_BY_STORE: the end takes the list of callers by looking and then storing
// fails: safety THREADS=1 PUSHES=2 CLOSES CLEAR_NOTES_LAST: the end empties a ring's places and then says that it has to be called
// fails: safety THREADS=1 PUSHES=2 CLOSES CLEARS_BY_STORE: who clears a place looks and then stores
// fails: safety THREADS=1 PUSHES=2 CLOSES CLOSED_WATCHING: the end comes while the loop looks by itself
#ifndef THREADS
#define THREADS 2
#endif
#ifndef PUSHES
#define PUSHES 1
#endif
#define PLACES 2
#define CLOSED 9

#define PLACE(t, position) place[(t) * PLACES + (position) % PLACES]

#define TO_BE_CALLED 0
#define CALLED 1
#define WATCHING 2

#define ROUND(position) ((((position) / PLACES) % 2) ^ 1)
#define ROUND_AT(t, position) round_in[(t) * PLACES + (position) % PLACES]
#ifdef NO_ROUND
#define IS_READY(t, position) (PLACE(t, position) != 0)
#else
#define IS_READY(t, position) (ROUND_AT(t, position) == ROUND(position))
#endif

byte place[THREADS * PLACES];
bit round_in[THREADS * PLACES];
byte attention[THREADS];
byte pushed[THREADS];
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
inline clear(t, position) {
#ifndef CLEAR_NOTES_LAST
  attention[t] = TO_BE_CALLED;
#endif
  position = fetched[t];
  do
  :: position < fetched[t] + PLACES ->
#ifdef CLEARS_BY_STORE
     if
     :: IS_READY(t, position) && PLACE(t, position) != 0 ->
        destroyed[t]++;
        PLACE(t, position) = 0
     :: else
     fi;
     position++
#else
     d_step {
       if
       :: IS_READY(t, position) && PLACE(t, position) != 0 -> PLACE(t, position) = 0; destroyed[t]++
       :: else
       fi;
       position++
     }
#endif
  :: else -> break
  od;
#ifdef CLEAR_NOTES_LAST
  attention[t] = TO_BE_CALLED;
#endif
  position = 0
}

// Of one step, as all that changes it.
inline change_attention(t, from, to, done) {
  d_step {
    done = attention[t] == from;
    if
    :: done -> attention[t] = to
    :: else
    fi
  }
}
inline push() {
  d_step { PLACE(me, pushed[me]) = pushed[me] + 1; ROUND_AT(me, pushed[me]) = ROUND(pushed[me]); pushed[me]++ }
}

proctype thread(byte me) {
  byte first, at;
  bool calls, rings;
  do
  :: pushed[me] < PUSHES ->
     // The pool sees to that, and gives a thread nothing more after the end.
     pushed[me] - fetched[me] < PLACES || destroyed[me] > 0;
     if
     :: pushed[me] - fetched[me] >= PLACES -> break
     :: else
     fi;
#ifndef PUSH_AFTER_LOOK
     push();
#endif
     calls = attention[me] == TO_BE_CALLED;
#ifdef NO_EXCHANGE
     attention[me] = CALLED;
#else
     if
     :: calls -> change_attention(me, TO_BE_CALLED, CALLED, calls)
     :: else
     fi;
#endif
#ifdef PUSH_AFTER_LOOK
     push();
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

inline fetch_all(ring) {
  do
  :: IS_READY(ring, fetched[ring]) ->  // pop()
     d_step {
       assert(PLACE(ring, fetched[ring]) == fetched[ring] + 1);
       fetched[ring]++
     }
  :: else -> break
  od
}

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
#ifndef ACKNOWLEDGES_LAST
        attention[t] = TO_BE_CALLED;  // acknowledge()
#endif
#ifdef ACKNOWLEDGES_FIRST
        next_of();
#endif
        fetch_all(t);
#ifdef ACKNOWLEDGES_LAST
        attention[t] = TO_BE_CALLED;
#endif
        t = 0
     :: else -> break
     od
  :: else
  fi
}

// Of each ring.
inline watch() {
  at = 0;
  do
  :: at < THREADS ->
#ifdef WATCHES_CALLED
     attention[at] = WATCHING;
#else
     change_attention(at, TO_BE_CALLED, WATCHING, ok);
#endif
     at++
  :: else -> break
  od;
  atomic { at = 0; ok = false; looks = true }
}
inline collect() {
  at = 0;
  do
  :: at < THREADS -> fetch_all(at); at++
  :: else -> break
  od;
  at = 0
}
// Whether there is something.
inline unwatch() {
  atomic { at = 0; looks = false }
  do
  :: at < THREADS ->
#ifdef UNWATCHES_LAST
     looks = looks || IS_READY(at, fetched[at]);
#endif
#ifdef UNWATCHES_CALLED
     attention[at] = TO_BE_CALLED;
#elif !defined(NO_UNWATCH)
     change_attention(at, WATCHING, TO_BE_CALLED, ok);
#endif
#if !defined(NO_LOOK_AFTER_UNWATCH) && !defined(UNWATCHES_LAST)
     looks = looks || IS_READY(at, fetched[at]);
#endif
     at++
  :: else -> break
  od;
  atomic { at = 0; ok = false }
}

proctype loop() {
  byte first, t, at;
  bool ok, looks;
  do
  :: sleeping = false;  // exit_interrupt_mode()
     take_handed_back();
     atomic { posts_run = posts_run + posted; posted = 0 }
     if
     :: looks -> collect()
     :: !looks -> watch()
     :: !looks
     fi;
#ifdef CLOSES
     if
     :: goto close
     :: true
     fi;
#endif
     if
     :: looks -> unwatch()
     :: else
     fi;
     if
     :: looks -> goto turn
     :: else
     fi;
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
     fi;
#endif
turn:
     skip
  od;
#ifdef CLOSES
close:
#ifndef CLOSED_WATCHING
  // look_no_more(), before the inbox is closed
  do
  :: looks -> unwatch(); collect()
  :: else -> break
  od;
#endif
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
  :: i < THREADS -> assert(fetched[i] + destroyed[i] == pushed[i] && (pushed[i] == PUSHES || destroyed[i] > 0)); i++
  :: else -> break
  od;
  assert(posts_run + posts_destroyed == 1)
}
