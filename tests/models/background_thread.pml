// A thread that is made when there is something to do, and ends when there was nothing for a while.
//
// models: src/base/background_thread.hpp src/base/background_thread.cpp
//   thread: thread_main()      user: add(), and then the destructor
// All is done under one mutex, so what is between two of its releases is one step. To wait on the condition is to wait
// until it holds; a wait may end by time at any moment, and then looks at the condition once more.
//
// asserted: one thread at a time; each task is run or, after the destructor has begun, dropped; and no thread stays when
// all is over.
//
// holds: safety
// fails: safety LEAVES_IN_TWO_STEPS: a thread that leaves says so in a second holding of the mutex
// fails: safety TIME_ALONE: a wait that ended by time is not followed by a look
// fails: safety STAYS: a thread does not leave when the end comes
#define TASKS 3

byte queued = 0, run_ = 0, dropped = 0;
bool running = false, ending = false;
byte threads = 0;

proctype thread() {
  do
  :: atomic { queued > 0 -> queued-- }
     run_++  // without the mutex
#ifndef STAYS
  :: atomic { ending && queued == 0 -> running = false; threads-- }
     break
#endif
#ifdef TIME_ALONE
  :: atomic { running = false; threads-- }
#else
  :: atomic { queued == 0 && !ending ->  // by time, which the destructor does not wait for
#ifndef LEAVES_IN_TWO_STEPS
       running = false; threads--
#else
       skip
#endif
     }
#endif
#ifdef LEAVES_IN_TWO_STEPS
     atomic { running = false; threads-- }
#endif
     break
  od
}

proctype user() {
  byte added = 0;
  do
  :: added < TASKS ->
     atomic {
       queued++;
       added++;
       if
       :: !running -> running = true; threads++; assert(threads == 1); run thread()
       :: else
       fi
     }
  :: true -> break
  od;
  if
  :: atomic { ending = true; dropped = queued; queued = 0 }
  :: true
  fi;
  timeout ->
  assert(!running && threads == 0);
  assert(run_ + dropped == added)
}

init {
  run user()
}
