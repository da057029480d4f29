// Parking with the queue that its threads take from: no work is left while a thread is free, one thread spins at most,
// and when the pool closes all threads leave.
//
// models: src/base/parking.hpp src/threads/pool_thread.hpp src/threads/pool_thread.cpp src/threads/thread_pool.hpp
//   begin_spinning, end_spinning, prepare_park, cancel_park, park, unpark_one: the functions of those names
//   thread: PoolThread::serve() and wait_for_job()      loop: ThreadPool::flush() and announce_end()
//   sleep_if_same: FUTEX_WAIT, which compares the word's lower half and goes to sleep in one step
// The queue is a head and an end here, and who looks sees both in one step: spmc_ring.pml has what makes it so, although
// jobs are announced by their places alone. hand_over.pml is about the place of each thread. A function may keep its
// thread for good.
//
// asserted: of threads one spins (until the pool closes); when nothing moves any more, nothing waits in the queue or
// all threads are kept by functions; and after the end no thread sleeps.
//
// holds: safety
// holds: safety CLOSES JOBS=2
// fails: safety NO_SECOND_LOOK: a thread sleeps without looking once more after it said that it parks
// fails: safety NO_COMPARE: the kernel puts a thread to sleep whatever the word is by then
// fails: safety SPINNER_KEEPS_QUIET: the spinner that found work does not wake the next when there is more
// fails: safety LOOKS_BEFORE_END: the spinner looks whether there is more while it still counts as spinning
// fails: safety WAKES_SLOT_ONLY: only the thread that parked last is woken, which may have got up by itself
// fails: safety NOTIFIED_DO_NOT_SPIN: who was notified does not count as spinning before it runs
// fails: safety LOOKS_AT_ONE_PLACE: a thread that parks looks at the place of a head that another has moved meanwhile
// fails: safety CLOSES JOBS=2 UNPARKS_ONE: the end wakes one thread
#define THREADS 3
#ifndef JOBS
#define JOBS 3
#endif
#define SLOTS 2

byte parked = 0, notified = 0, spinning = 0;  // the one word
byte head = 0, published = 0;                 // of the queue
#define IS_READY (head != published)
byte away = 0;                                // threads that a function keeps for good, or that have left their loop
bool closing = false;
bool asleep[THREADS];
byte slot_of[THREADS];

// A loop that exchanges the whole word, and decides by nothing else, is one step: it takes effect when its exchange
// succeeds, or when it loads what it gives up for. Locals are cleared when they are used no more, so that states that
// differ in nothing else are one.

// Of the sleepers with the slot, or of all, one or all.
inline futex_wake(slot, most) {
  d_step {
    woke = false;
    at = 0;
    do
    :: at < THREADS && !(woke && most == 1) ->
       if
       :: asleep[at] && (slot == SLOTS || slot_of[at] == slot) ->
          asleep[at] = false; slot_of[at] = 0; woke = true
       :: else
       fi;
       at++
    :: else -> break
    od;
    at = 0
  }
}
inline sleep_if_same() {
  d_step {
#ifndef NO_COMPARE
    if
    :: parked == p && notified == n ->
#endif
       asleep[me] = true; slot_of[me] = slot
#ifndef NO_COMPARE
    :: else
    fi
#endif
    ;
    p = 0; n = 0
  }
}

inline pop() {
  d_step {
    took = IS_READY;
    if
    :: took -> head++
    :: else
    fi
  }
}

inline count_spinner() {
  spinning++;
  assert(spinning <= 1 || closing)
}
inline begin_spinning() {
  d_step {
    is_spinner = spinning == 0;
    if
    :: is_spinner -> count_spinner()
    :: else
    fi
  }
}

inline prepare_park() {
  d_step {
    slot = parked % SLOTS;
    parked = parked + 1;
    if
    :: is_spinner -> spinning = spinning - 1
    :: else
    fi;
    is_spinner = false
  }
}

// Where nobody is parked any more, this thread was notified.
inline cancel_park() {
  d_step {
    assert(parked + notified > 0);
    slot = 0;
    is_spinner = parked == 0;
    if
    :: is_spinner -> notified--
    :: else -> parked--
    fi
  }
}

inline park() {
  do
  :: d_step {
       is_spinner = notified > 0;
       if
       :: is_spinner -> notified--; slot = 0
       :: else -> p = parked; n = notified
       fi
     }
     if
     :: is_spinner -> break
     :: else
     fi;
     sleep_if_same();
end_asleep:
     !asleep[me]
  od
}

inline unpark_one() {
  d_step {
    woke = spinning == 0 && parked > 0;
    if
    :: woke ->
       wake_slot = (parked - 1) % SLOTS;
       parked--;
       notified++;
#ifndef NOTIFIED_DO_NOT_SPIN
       count_spinner()
#endif
    :: else
    fi
  }
  if
  :: woke ->
     futex_wake(wake_slot, 1);
#ifndef WAKES_SLOT_ONLY
     if
     :: !woke -> futex_wake(SLOTS, 1)
     :: else
     fi;
#endif
     d_step { woke = false; wake_slot = 0 }
  :: else
  fi
}

inline unpark_all() {
  d_step { notified = notified + parked; spinning = spinning + parked; parked = 0 }
  futex_wake(SLOTS, THREADS);
  woke = false
}

proctype thread(byte me) {
  byte p, n, slot, wake_slot, at;
  bool woke, is_spinner, took;

look_for_work:
  pop();
  if
  :: took -> goto work
  :: else
  fi;
  begin_spinning();
wait_for_job:
  if
  :: is_spinner ->  // until there is something, or as long as it may
     pop();
     if
     :: took ->
        is_spinner = false;
#ifdef LOOKS_BEFORE_END
        took = IS_READY;
        spinning--;
#else
        spinning--;
        took = IS_READY;
#endif
#ifndef SPINNER_KEEPS_QUIET
        if
        :: took -> unpark_one()
        :: else
        fi;
#endif
        goto work
     :: else
     fi
  :: else
  fi;
  prepare_park();
#ifndef NO_SECOND_LOOK
#ifdef LOOKS_AT_ONE_PLACE
  at = head;
#define LOOK (at == head && IS_READY)
#else
#define LOOK IS_READY
#endif
  if
  :: LOOK || closing ->
     at = 0;
     cancel_park();
     if
     :: is_spinner -> goto wait_for_job
     :: else
     fi;
     pop();
     if
     :: took ->
        if
        :: IS_READY -> unpark_one()
        :: else
        fi;
        goto work
     :: else
     fi;
     if
     :: closing -> goto leave
     :: else
     fi;
     begin_spinning();
     goto wait_for_job
  :: else -> at = 0
  fi;
#endif
  park();
  goto wait_for_job;

work:
  took = false;
  if
  :: goto look_for_work
  :: goto leave  // kept
  fi;
leave:
  atomic { is_spinner = false; slot = 0; away++ }
}

proctype loop() {
  byte wake_slot, at, job = 0;
  bool woke;
  do
  :: job < JOBS ->
     // One or two with one wake-up.
     if
     :: d_step { published++; job++ }
     :: d_step { job + 2 <= JOBS -> published = published + 2; job = job + 2 }
     fi;
     unpark_one()
  :: else -> break
  od;
#ifdef CLOSES
  closing = true;
#ifdef UNPARKS_ONE
  unpark_one()
#else
  unpark_all()
#endif
#endif
}

init {
  atomic {
    byte i = 0;
    do
    :: i < THREADS -> run thread(i); i++
    :: else -> break
    od;
    run loop()
  }
  timeout ->  // nothing moves any more
  assert(!IS_READY || away == THREADS);
#ifdef CLOSES
  assert(away == THREADS)
#endif
}
