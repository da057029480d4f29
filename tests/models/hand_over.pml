// A thread that looks is handed one job at a time: it runs each once, and the loop learns of each end once.
//
// models: src/base/hand_over.hpp src/threads/pool_thread.cpp src/threads/thread_pool.cpp
//   hand, finished, leave: the giver's functions of those names      open, taken, close, finish: the taker's
//   giver: ThreadPool::hand_over(), collect(), try_enter_interrupt_mode()     taker: PoolThread::wait_for_job(), give_back()
// Elements are numbers. The inbox is a number here, too, with a doorbell: inbox.pml is about both. Where the taker does
// not look, the giver keeps what it has until it does: the ring and parking.pml are about the other way.
//
// asserted: each element is run once, by a taker that looks; its end is seen or it is handed back, once, and not before
// it was run; nothing is in the place when the taker parks; the giver sleeps with nothing of its own finished, and with
// nothing handed back; and when nothing moves any more, all have ended.
//
// holds: safety
// fails: safety CLOSE_BY_STORE: the taker closes its place by a store, whatever was handed
// fails: safety CLOSE_IN_TWO_STEPS: the taker looks whether something was handed, and then closes its place
// fails: safety NO_CLOSE: the taker parks and leaves its place open
// fails: safety HAND_BY_STORE: the giver looks whether the place is open and then stores the element
// fails: safety HAND_OVER_ANOTHER: the giver hands over what the taker looks for, whatever it was handed before
// fails: safety FINISH_IN_TWO_STEPS: the taker looks whether the element was left and then opens its place
// fails: safety FINISH_LOOKS_NOT: the taker opens its place without looking whether the element was left
// fails: safety FINISH_FIRST: the taker opens its place before it is done with the element
// fails: safety LEAVE_IN_TWO_STEPS: the giver looks whether the element is finished and then stores that it was left
// fails: safety NO_LEAVE: the giver sleeps without leaving what it handed over
// fails: safety LEAVES_FINISHED: the giver sleeps whether or not what it leaves is finished
#define ELEMENTS 3
#define CLOSED 0
#define OPEN 20
#define LEFT 10  // added to the element

byte word = CLOSED;
byte run_times[ELEMENTS + 1];
byte ended[ELEMENTS + 1];  // seen or handed back
byte inbox[ELEMENTS + 1];
byte in_inbox = 0;
bool parked = false, sleeping = false, doorbell = false;
byte handed = 0;  // what the giver looks for

inline end(element) {
  ended[element]++;
  assert(ended[element] == 1 && run_times[element] == 1)
}

proctype taker() {
  byte element, seen;
  bool ok;
  do
  :: word = OPEN;  // open()
     do
     :: seen = word;  // taken()
        if
        :: seen != OPEN ->
have:
           element = seen;
           if
           :: element > LEFT -> element = element - LEFT
           :: else
           fi;
           assert(element >= 1 && element <= ELEMENTS);
#ifdef FINISH_FIRST
           d_step { seen = word; word = OPEN }
#endif
           d_step { run_times[element]++; assert(run_times[element] == 1) }
           // finish()
#ifdef FINISH_IN_TWO_STEPS
           seen = word;
           word = OPEN;
#elif defined(FINISH_LOOKS_NOT)
           d_step { seen = 0; word = OPEN }
#elif !defined(FINISH_FIRST)
           d_step { seen = word; word = OPEN }
#endif
           if
           :: seen > LEFT ->  // hand_back()
              d_step { inbox[element]++; in_inbox++ }
              d_step {
                ok = sleeping;
                sleeping = false;
                if
                :: ok -> doorbell = true
                :: else
                fi;
                ok = false
              }
           :: else
           fi;
           atomic { element = 0; seen = 0 }
        :: else -> break
        fi
     od;
     // Parks now, for a while or until the end; or first takes something from the ring.
#ifdef NO_CLOSE
     ok = true;
#elif defined(CLOSE_BY_STORE)
     atomic { word = CLOSED; ok = true }
#elif defined(CLOSE_IN_TWO_STEPS)
     ok = word == OPEN;
     if
     :: ok -> word = CLOSED
     :: else
     fi;
#else
     atomic {
       ok = word == OPEN;
       if
       :: ok -> word = CLOSED
       :: else
       fi
     }
#endif
     if
     :: ok ->
        d_step { ok = false; seen = 0; parked = true }
#ifndef NO_CLOSE
        assert(word == CLOSED);
#endif
end_asleep:
        !parked  // something was put into the ring
     :: else -> ok = false; seen = word; goto have
     fi
  od
}

proctype giver() {
  byte next = 1, seen, i;
  bool ok;
  do
  :: sleeping = false;  // exit_interrupt_mode()
     // take_handed_back()
     d_step {
       i = 1;
       do
       :: i <= ELEMENTS ->
          if
          :: inbox[i] > 0 -> inbox[i]--; in_inbox--; end(i)
          :: else
          fi;
          i++
       :: else -> break
       od;
       i = 0
     }
     // collect()
     seen = word;
     if
     :: handed != 0 && seen != handed && seen != handed + LEFT -> d_step { end(handed); handed = 0 }
     :: else
     fi;
     // What was handed over is left when the loop sleeps: so there is at most one here, as of each place.
     if
#ifdef HAND_OVER_ANOTHER
     :: next <= ELEMENTS ->
#else
     :: next <= ELEMENTS && handed == 0 ->
#endif
        // By the ring, which wakes a thread: that opens its place when it has nothing to do.
        parked = false;
#ifdef HAND_OVER_ANOTHER
        d_step { word != CLOSED -> word = next; ok = true }
#elif defined(HAND_BY_STORE)
        ok = word == OPEN;
        if
        :: ok -> word = next
        :: else
        fi;
#else
        d_step {
          ok = word == OPEN;
          if
          :: ok -> word = next
          :: else
          fi
        }
#endif
        atomic {
          if
          :: ok -> handed = next; next++; ok = false
          :: else
          fi
        }
     :: true
     fi;
     // try_enter_interrupt_mode(): leave(), and then that of the inbox.
     seen = 0;
#ifndef NO_LEAVE
     if
     :: handed != 0 ->
#ifdef LEAVE_IN_TWO_STEPS
        ok = word == handed;
        if
        :: ok -> word = handed + LEFT
        :: else
        fi;
#else
        d_step {
          ok = word == handed;
          if
          :: ok -> word = handed + LEFT
          :: else
          fi
        }
#endif
#ifdef LEAVES_FINISHED
        ok = true;
#endif
        atomic {
          if
          :: ok -> handed = 0; ok = false
          :: else
          fi
        }
     :: else
     fi;
#endif
     if
     :: (
#ifndef NO_LEAVE
         handed == 0 &&
#endif
         next > ELEMENTS) ->
        sleeping = true;
        if
        :: in_inbox == 0 ->
end_asleep:
           doorbell;
           doorbell = false
        :: else
        fi
     :: else
     fi
  od
}

init {
  atomic { run taker(); run giver() }
  timeout;  // nothing moves any more
  byte i = 1;
  do
  :: i <= ELEMENTS -> assert(ended[i] == 1); i++
  :: else -> break
  od
}
