// The claims of calls that a worker was sent: a call is run by the worker or taken back by its parent, never both, and
// after the worker's death nothing that may have run is given to another.
//
// models: src/shared/status_page.hpp src/processes/sent_calls.hpp src/worker/worker_main.cpp
//   send: Worker::queue() with SentCalls::add()      recall, answered, has_begun: SentCalls' functions
//   worker: WorkerProcess::serve() with claim(), pass() and note_begin(), which may die at any step
// A call that was taken back goes to another worker, or here once more with the same id. The kernel may refuse what
// travels beside a frame; an empty one then takes its place. Of 6 claims 3 may be of calls that were sent ahead.
//
// asserted: a claim is free when a call gets it; answers come in order; no call runs twice, or here and elsewhere; what
// ran is known as begun after a death; and in the end each call was answered, has failed, or is elsewhere.
//
// holds: safety
// fails: safety RECALL_IN_TWO_STEPS: the parent takes a call back by looking and then clearing its claim
// fails: safety CLAIM_IN_TWO_STEPS: the worker claims a call by looking and then clearing its claim
// fails: safety NO_CLAIM: the worker runs what it was sent
// fails: safety FREED_AT_RECALL: the place of a call that was taken back is used before the worker has passed it
// fails: safety PASSED_UNCOUNTED: the worker does not count calls that were taken back
// fails: safety BEGUN_AT_END: the worker notes a call as begun when it has run, and the parent asks for that alone
// fails: safety REFUSED_UNANSWERED: the worker passes over a call that was refused, and does not say so
#define CLAIMS 6
#define PREFETCH 3
#define JOBS 3
#define SENDS 5

mtype = { waiting, here, elsewhere, answered_, failed };

byte claims[CLAIMS];
byte begun = 0;
bool mortal = false;  // the worker may die
bool dead = false;
chan frames = [CLAIMS] of { byte, bool };   // id, refused
chan outcomes = [CLAIMS] of { byte };
bool ran[JOBS + 1];                         // here
mtype job[JOBS + 1] = waiting;

// SentCalls, of the n-th call in places[n % CLAIMS].
byte id[CLAIMS];
bool taken_back[CLAIMS];
bool refused[CLAIMS];
byte first = 0, sent = 0, live = 0;

inline send(call) {
  atomic {
    at = sent % CLAIMS;
    assert(sent - first < CLAIMS);
    assert(claims[at] == 0);
    claims[at] = call;
    id[at] = call;
    taken_back[at] = false;
    job[call] = here;
    sent++;
    live++;
    if
    :: refused[at] = false
    :: refused[at] = true
    fi;
    frames!call, refused[at];
    at = 0
  }
}

// Of the one at a place, but that which is due.
inline recall(number) {
  at = number % CLAIMS;
  if
  :: number < sent && !taken_back[at] ->
#ifdef RECALL_IN_TWO_STEPS
     ok = claims[at] == id[at];
     if
     :: ok -> claims[at] = 0
     :: else
     fi;
#else
     d_step {
       ok = claims[at] == id[at];
       if
       :: ok -> claims[at] = 0
       :: else
       fi
     }
#endif
     if
     :: ok ->
        atomic {
          taken_back[at] = true;
          live--;
          assert(!ran[id[at]]);
          if
          :: job[id[at]] = waiting
          :: job[id[at]] = elsewhere
          fi;
#ifdef FREED_AT_RECALL
          if
          :: number == sent - 1 -> sent--
          :: else
          fi;
#endif
          ok = false
        }
     :: else
     fi
  :: else
  fi;
  at = 0
}

inline pass_over() {
  do
  :: first != sent && taken_back[first % CLAIMS] -> first++
  :: else -> break
  od
}

inline answered() {
  d_step {
    pass_over();
    assert(first != sent && id[first % CLAIMS] == call);
    job[call] = (refused[first % CLAIMS] -> failed : answered_);
    first++;
    live--
  }
}

proctype parent() {
  byte call, at, sends = 0;
  bool ok;
  do
  :: !dead && sends < SENDS && (live == 0 || sent - first < PREFETCH) ->
     if
     :: job[1] == waiting -> sends++; send(1)
     :: job[2] == waiting -> sends++; send(2)
     :: job[3] == waiting -> sends++; send(3)
     :: else -> break  // all are under way or have ended
     fi
  :: live > 1 ->
     d_step { pass_over() }
     if
     :: recall(first + 1)
     :: recall(first + 2)
     fi
  :: outcomes?call -> answered(); call = 0
  :: dead && empty(outcomes) -> break
  :: sends == SENDS && live == 0 -> break
  od;
  do
  :: live > 0 && outcomes?[call] -> outcomes?call; answered(); call = 0
  :: dead && empty(outcomes) -> break
  :: live == 0 -> break
  od;
  // What a dead worker has begun has failed, the rest goes to another.
  do
  :: live > 0 ->
     d_step {
       pass_over();
       at = first % CLAIMS;
       call = id[at];
#ifdef BEGUN_AT_END
       ok = begun == call;
#else
       ok = begun == call || (!refused[at] && claims[at] != call);
#endif
       job[call] = (ok -> failed : elsewhere);
       assert(!ran[call] || ok);
       first++;
       live--;
       ok = false; at = 0; call = 0
     }
  :: else -> break
  od;
  // All else goes to others.
  atomic {
    at = 1;
    do
    :: at <= JOBS ->
       if
       :: job[at] == waiting -> job[at] = elsewhere
       :: else
       fi;
       assert(job[at] != here && !(job[at] == elsewhere && ran[at]) && !(job[at] == answered_ && !ran[at]));
       at++
    :: else -> break
    od
  }
}

proctype worker() {
  byte call, received = 0;
  bool empty_frame, ok;
end_idle:
  do
  :: frames?call, empty_frame ->
     if
     :: mortal -> break
     :: true
     fi;
#ifdef NO_CLAIM
     d_step { ok = true; claims[received % CLAIMS] = 0 }
#else
#ifdef CLAIM_IN_TWO_STEPS
     ok = claims[received % CLAIMS] == call;
     if
     :: ok -> claims[received % CLAIMS] = 0
     :: else
     fi;
#else
     d_step {
       ok = claims[received % CLAIMS] == call;
       if
       :: ok -> claims[received % CLAIMS] = 0
       :: else
       fi
     }
#endif
#endif
#ifdef PASSED_UNCOUNTED
     if
     :: ok -> received++
     :: else
     fi;
#else
     received++;
#endif
     if
     :: ok && empty_frame ->
#ifndef REFUSED_UNANSWERED
        outcomes!call
#else
        skip
#endif
     :: ok && !empty_frame ->
#ifndef BEGUN_AT_END
        begun = call;
#endif
        if
        :: mortal -> break
        :: true
        fi;
        d_step { assert(!ran[call] && job[call] == here); ran[call] = true }
        if
        :: mortal -> break
        :: true
        fi;
#ifdef BEGUN_AT_END
        begun = call;
#endif
        outcomes!call
     :: else
     fi;
     d_step { call = 0; empty_frame = false; ok = false }
  :: mortal -> break
  od;
  dead = true
}

init {
  if
  :: mortal = true
  :: true
  fi;
  atomic { run parent(); run worker() }
}
