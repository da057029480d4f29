// A large result that is decoded on a thread beside the loop, and that somebody may give up meanwhile.
//
// models: src/processes/decoding.hpp src/processes/process_pool_decoding.cpp
//   thread: Decoding::run(), once for each time that it was added      loop: decoding_done(), abandon()
//
// asserted: the loop uses the value only when it is complete; a value that nobody waits for is destroyed once, by the
// thread; and the loop hears once that it is done.
//
// holds: safety
// fails: safety TELLS_FIRST: the thread tells the loop and then decodes
// fails: safety DONE_BY_STORE: the thread looks whether somebody waits and then stores that it is done
// fails: safety ABANDONED_BY_STORE: the loop looks whether it is done and then stores that it is abandoned
// fails: safety NOT_AGAIN: what had been decoded when it was given up is not run again
// fails: safety TELLS_AGAIN: each run tells the loop
mtype = { waiting, done, abandoned };
mtype state = waiting;
byte added = 1;         // of the background thread's queue
byte posted = 0;
bool value = false;     // it is there, whole
bool in_use = false;    // by the thread
byte destroyed = 0;
bool given_up = false, used = false;

proctype thread() {
  bool ok;
  bool tells = true;
end_idle:
  do
  :: d_step { added > 0 -> added-- }
#ifdef TELLS_FIRST
     posted++;
     tells = false;
#endif
     if
     :: state == waiting ->
        in_use = true;
        value = true;
        in_use = false
     :: else
     fi;
#ifdef DONE_BY_STORE
     ok = state == waiting;
     if
     :: ok -> state = done
     :: else
     fi;
#else
     d_step {
       ok = state == waiting;
       if
       :: ok -> state = done
       :: else
       fi
     }
#endif
     if
     :: !ok -> d_step { value = false; destroyed++ }
     :: else
     fi;
     if
     :: tells -> posted++
     :: else
     fi;
#ifndef TELLS_AGAIN
     tells = false;
#endif
     ok = false
  od
}

proctype loop() {
  bool was_done;
  if
  :: posted > 0 ->
     assert(value && !in_use);
     used = true
  :: true ->  // abandon()
     given_up = true;
#ifdef ABANDONED_BY_STORE
     was_done = state == done;
     state = abandoned;
#else
     d_step { was_done = state == done; state = abandoned }
#endif
#ifndef NOT_AGAIN
     if
     :: was_done -> added++
     :: else
     fi
#endif
  fi
}

init {
  atomic { run thread(); run loop() }
  timeout ->
  assert(posted == 1);
  assert(destroyed == (given_up -> 1 : 0));
  assert(used != given_up)
}
