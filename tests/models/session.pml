// A lease's two streams between a manager and a node, with what each says of how far it is: a call runs at most once however
// often it is sent, its outcome is heard once, and what is said not to have run has not and will not.
//
// models: src/remote/numbered.hpp src/remote/session.cpp src/remote/manager_lease.hpp src/remote/manager_lease.cpp src/remote/node_lease.hpp src/remote/node_lease.cpp src/remote/link.hpp
//   manager, node: push, due and sent, acknowledged, send_again of NumberedSender; receive() of NumberedReceiver; the marks of
//   Session; outcome_came and lease_closed of ManagerLease, call_came and close() of NodeLease; instances of Link
// Each kind of message is a set: in it, a message may be lost, overtaken by others, or there once more. Time is left out: what
// a gap or a heartbeat would have sent again goes again when nothing else is on its way, and a few times before. Calls and
// outcomes are one item each. The manager may give up at any time, as by silence or its own end; the node may close the lease,
// with what runs killed, or end and be another one.
//
// asserted: a call runs once at most, and not after it was said not to have run; its caller hears of it once; what is
// acknowledged was sent; and in the end each call that was made has been heard of.
//
// holds: safety
// holds: safety GIVES_UP
// holds: safety CLOSES
// holds: safety CLOSES GIVES_UP
// holds: safety RESTARTS GIVES_UP
// fails: safety TAKES_REPEATS: who receives takes what it has had
// fails: safety TAKES_OVER_GAPS: who receives takes what comes behind something missing
// fails: safety SENT_ONCE: what is lost does not go again
// fails: safety CERTAIN_BY_MARKS GIVES_UP: what is not acknowledged is said not to have run
// fails: safety CERTAIN_BY_NEXT GIVES_UP: what is to go out again is said not to have run
// fails: safety CLOSES_EARLY CLOSES: the node closes the lease with the last call that has an outcome while others run
// fails: safety ACCEPTS_CLOSED CLOSES: the node accepts calls when it has closed the lease
// fails: safety NO_INSTANCE RESTARTS GIVES_UP: a node that was started again is taken for the one before
#define CALLS 2
#define ITEMS 3  // that a node says: an outcome for each call, and that it has closed the lease
#define CLOSED 9

mtype = { nothing, value, not_run, may_have_run };

// Messages, by the number that they carry.
bool call_comes[CALLS + 1], received_comes[CALLS + 1];
bool item_comes[ITEMS + 1], heard_comes[ITEMS + 1];
byte lost = 0, repeated = 0, early = 0;
#define REPEATED 1
#ifdef CLOSES
#define LOST 1
#define EARLY 0
#else
#define LOST 2
#define EARLY 1
#endif

// The manager.
byte made = 0, first = 1, next = 1, last_sent = 0, heard = 0;
bool tells_heard = false, over = false;
mtype said[CALLS + 1] = nothing;

// The node.
byte received = 0, items = 0, first_item = 1, next_item = 1;
byte item[ITEMS + 1];
byte accepted = 0;  // in what it says when it closes the lease
bool tells_received = false, closed = false, gone = false;
bool waits[CALLS + 1], runs[CALLS + 1];
byte ran[CALLS + 1];

#define quiet                                                                                                        \
  (!call_comes[1] && !call_comes[2] && !received_comes[1] && !received_comes[2] && !item_comes[1] && !item_comes[2] && \
   !item_comes[3] && !heard_comes[1] && !heard_comes[2] && !heard_comes[3] && !tells_heard && !tells_received)

// A message is taken from its set; now and then it is there once more.
inline take(message) {
  if
  :: message = false
  :: repeated < REPEATED -> repeated++
  fi
}

inline again(from, to) {
  if
  :: quiet
  :: else -> early < EARLY; early++
  fi;
  to = from
}

// What is certain of each call that is open: what is behind `bound` has not reached the node, nor will.
inline end_lease(bound) {
  at = 1;
  do
  :: at <= made ->
     if
     :: said[at] != nothing
     :: said[at] == nothing && at > bound -> assert(ran[at] == 0); said[at] = not_run
     :: said[at] == nothing && at <= bound -> said[at] = may_have_run
     fi;
     at++
  :: else -> break
  od;
  at = 0;
  over = true
}

inline smaller(result, one, other) {
  if
  :: one < other -> result = one
  :: else -> result = other
  fi
}

inline hear_received(n) {
  received_comes[n] = false;
  if
  :: over
  :: else ->
     assert(n <= last_sent);
     if
     :: first <= n -> first = n + 1
     :: else
     fi;
     if
     :: next < first -> next = first
     :: else
     fi
  fi
}

inline hear_item(n) {
  take(item_comes[n]);
  if
  :: over
#ifdef TAKES_REPEATS
  :: !over && n <= heard + 1 ->
#elif defined(TAKES_OVER_GAPS)
  :: !over && n > heard ->
#else
  :: !over && n == heard + 1 ->
#endif
     heard = n;
     tells_heard = true;
     if
     :: item[n] == CLOSED -> smaller(bound, accepted, last_sent); end_lease(bound); bound = 0
     :: else -> assert(said[item[n]] == nothing); said[item[n]] = value
     fi
  :: else -> tells_heard = heard > 0
  fi
}

proctype manager() {
  byte at, bound;
end:
  do
  :: atomic { !over && made < CALLS -> made++ }
  :: atomic {
       !over && next <= made ->
       call_comes[next] = true;
       if
       :: next > last_sent -> last_sent = next
       :: else
       fi;
       next++
     }
#ifndef SENT_ONCE
  :: atomic { !over && !gone && first < next && (quiet || early < EARLY) -> again(first, next) }
#endif
  :: atomic { received_comes[1] -> hear_received(1) }
  :: atomic { received_comes[2] -> hear_received(2) }
  :: atomic { item_comes[1] -> hear_item(1) }
  :: atomic { item_comes[2] -> hear_item(2) }
  :: atomic { item_comes[3] -> hear_item(3) }
  :: atomic { tells_heard -> heard_comes[heard] = true; tells_heard = false }
#ifdef GIVES_UP
  :: atomic {
       !over && made > 0 ->
#ifdef CERTAIN_BY_MARKS
       end_lease(first - 1)
#elif defined(CERTAIN_BY_NEXT)
       end_lease(next - 1)
#else
       end_lease(last_sent)
#endif
     }
#endif
  od
}

inline accept(n) {
  take(call_comes[n]);
  if
#ifdef ACCEPTS_CLOSED
  :: gone
#else
  :: gone || closed
#endif
#ifdef TAKES_REPEATS
  :: !gone && !closed && n <= received + 1 ->
#elif defined(TAKES_OVER_GAPS)
  :: !gone && !closed && n > received ->
#elif defined(ACCEPTS_CLOSED)
  :: !gone && n == received + 1 ->
#else
  :: !gone && !closed && n == received + 1 ->
#endif
     received = n;
     waits[n] = true;
     tells_received = true
  :: else -> tells_received = received > 0
  fi
}

inline say(what) {
  items++;
  item[items] = what
}

inline run_call(n) {
  waits[n] = false;
  runs[n] = true;
  ran[n]++;
  assert(ran[n] == 1 && said[n] != not_run)
}

inline hear_heard(n) {
  heard_comes[n] = false;
  assert(n <= items || gone);
  if
  :: first_item <= n -> first_item = n + 1
  :: else
  fi;
  if
  :: next_item < first_item -> next_item = first_item
  :: else
  fi
}

inline kill_calls() {
  if
  :: waits[1] || runs[1] -> waits[1] = false; runs[1] = false; say(1)
  :: else
  fi;
  if
  :: waits[2] || runs[2] -> waits[2] = false; runs[2] = false; say(2)
  :: else
  fi
}

proctype node() {
end:
  do
  :: atomic { call_comes[1] -> accept(1) }
  :: atomic { call_comes[2] -> accept(2) }
  :: atomic { waits[1] -> run_call(1) }
  :: atomic { waits[2] -> run_call(2) }
  :: atomic { runs[1] -> runs[1] = false; say(1) }
  :: atomic { runs[2] -> runs[2] = false; say(2) }
  :: atomic { tells_received -> received_comes[received] = true; tells_received = false }
  :: atomic { !gone && next_item <= items -> item_comes[next_item] = true; next_item++ }
#ifndef SENT_ONCE
  :: atomic { !gone && !over && first_item < next_item && (quiet || early < EARLY) -> again(first_item, next_item) }
#endif
  :: atomic { heard_comes[1] -> hear_heard(1) }
  :: atomic { heard_comes[2] -> hear_heard(2) }
  :: atomic { heard_comes[3] -> hear_heard(3) }
#ifdef CLOSES
  :: atomic {
       !closed && received > 0 ->
#ifdef CLOSES_EARLY
       accepted = items;
#else
       accepted = received;
       kill_calls();
#endif
       say(CLOSED);
       closed = true
     }
#endif
#ifdef RESTARTS
  :: atomic {
       !gone && received > 0 ->
       waits[1] = false; waits[2] = false; runs[1] = false; runs[2] = false;
       tells_received = false;
       received = 0; items = 0; first_item = 1; next_item = 1;
#ifndef NO_INSTANCE
       gone = true;  // messages for the one before are not for this one
#endif
       item_comes[1] = false; item_comes[2] = false; item_comes[3] = false
     }
#endif
  od
}

proctype network() {
end:
  do
  :: atomic { lost < LOST && call_comes[1] -> call_comes[1] = false; lost++ }
  :: atomic { lost < LOST && call_comes[2] -> call_comes[2] = false; lost++ }
  :: atomic { lost < LOST && received_comes[1] -> received_comes[1] = false; lost++ }
  :: atomic { lost < LOST && received_comes[2] -> received_comes[2] = false; lost++ }
  :: atomic { lost < LOST && item_comes[1] -> item_comes[1] = false; lost++ }
  :: atomic { lost < LOST && item_comes[2] -> item_comes[2] = false; lost++ }
  :: atomic { lost < LOST && item_comes[3] -> item_comes[3] = false; lost++ }
  :: atomic { lost < LOST && heard_comes[1] -> heard_comes[1] = false; lost++ }
  :: atomic { lost < LOST && heard_comes[2] -> heard_comes[2] = false; lost++ }
  :: atomic { lost < LOST && heard_comes[3] -> heard_comes[3] = false; lost++ }
  od
}

init {
  atomic { run manager(); run node(); run network() }
  timeout ->
  assert(made == 0 || said[1] != nothing);
  assert(made < 2 || said[2] != nothing)
}
