// How a parent wakes a worker: a frame through the socket, sent without waiting, of which the kernel may take a part or
// nothing. One is under way at a time, and none is lost.
//
// models: src/wire/wake.hpp src/wire/channel.hpp src/wire/byte_ring.hpp
//   want, begun, sent, refused: Wake's functions      send_next, flush, queue: Channel's      worker: WorkerChannel's
//   kernel: moves what is sent into the socket at any time, before its completion is handled
// A frame has two bytes here. The ring is a number of what was published: byte_ring.pml is about it. A frame through the
// socket stands for others than wakes.
//
// asserted: one wake is under way, and what is in the socket is whole frames in a row (the checks of wake.hpp and of the
// decoder); when nothing moves any more, the worker has read all.
//
// holds: safety
// fails: safety FORGOTTEN_AT_END: that a wake was wanted is forgotten when it was sent, not when it is begun
// fails: safety FORGOTTEN_REFUSAL: a wake that the kernel refused is not sent again
// fails: safety NO_REST: another frame comes between the two parts of a wake
// fails: safety INTO_FRAME: a wake comes between the two parts of another frame
// fails: safety NOT_ONE: a wake is begun while one is under way
#define PUBLISHED 3

#define WAKE 0
#define FRAME 2

byte published = 0, read = 0;
bool worker_sleeps = false;
chan socket = [4] of { byte };  // each byte: of which frame, and the first or the second of it

bool wanted = false;
bool wake_under_way = false;
byte wake_sent = 0;  // bytes of one
byte frames = 0;     // that wait
byte frame_sent = 0;
bool in_flight = false;
byte moves = 0;      // what the kernel has of the send in flight: the first byte, and how many
byte left = 0;
bool completed = false;
byte result = 0;
byte refusals = 0;

#ifdef NO_REST
#define DUE wanted
#else
#define DUE (wanted || wake_sent != 0)
#endif
#ifdef INTO_FRAME
#define WHOLE_FRAMES true
#else
#define WHOLE_FRAMES (frame_sent == 0)
#endif
#ifdef NOT_ONE
#define FREE true
#else
#define FREE (!in_flight)
#endif

inline send_next() {
  if
  :: FREE && DUE && WHOLE_FRAMES ->
     assert(!wake_under_way);
     wake_under_way = true;
#ifndef FORGOTTEN_AT_END
     if
     :: wake_sent == 0 -> wanted = false
     :: else
     fi;
#endif
     moves = WAKE + wake_sent; left = 2 - wake_sent; in_flight = true
  :: !(FREE && DUE && WHOLE_FRAMES) && !in_flight && frames > 0 ->
     moves = FRAME + frame_sent; left = 2 - frame_sent; in_flight = true
  :: else
  fi
}

inline complete() {
  d_step {
    completed = false;
    in_flight = false;
    if
    :: wake_under_way ->
       wake_under_way = false;
       if
       :: result == 0 ->  // refused()
#ifndef FORGOTTEN_REFUSAL
          if
          :: wake_sent == 0 -> wanted = true
          :: else
          fi
#else
          skip
#endif
       :: else ->
          wake_sent = (wake_sent + result) % 2;
#ifdef FORGOTTEN_AT_END
          if
          :: wake_sent == 0 -> wanted = false
          :: else
          fi
#endif
       fi
    :: else ->
       frame_sent = (frame_sent + result) % 2;
       if
       :: result != 0 && frame_sent == 0 -> frames--
       :: else
       fi
    fi;
    result = 0;
    send_next()
  }
}

proctype parent() {
  bool must_wake;
  do
  :: published < PUBLISHED ->
     published++;
     if
     :: worker_sleeps ->
        d_step { must_wake = worker_sleeps; worker_sleeps = false }
        d_step {
          if
          :: must_wake -> wanted = true; send_next()
          :: else
          fi;
          must_wake = false
        }
     :: else
     fi
  :: d_step { published == 1 && frames == 0 && frame_sent == 0 && !completed -> frames = 1; send_next() }
  :: completed -> complete()
  :: published == PUBLISHED && !in_flight && !wanted -> break
  od;
  // Its loop goes on.
end_idle:
  do
  :: completed -> complete()
  od
}

active proctype kernel() {
end_idle:
  do
  :: d_step { in_flight && !completed && left > 0 && nfull(socket) ->
       socket!moves; moves++; left--; result++
     }
  :: atomic { in_flight && !completed && result > 0 -> completed = true }
  :: atomic { in_flight && !completed && result == 0 && refusals < 2 -> refusals++; completed = true }
  od
}

proctype worker() {
  byte half = 255, got;
  do
  :: read != published -> read = published
  :: read == published ->
     worker_sleeps = true;
     if
     :: read == published ->
end_asleep:
        // Whatever is received wakes it; the decoder sees to the frames.
        atomic {
          socket?got;
          if
          :: got % 2 == 1 -> assert(half == got - 1); half = 255
          :: else -> assert(half == 255); half = got
          fi;
          got = 0
        }
     :: else
     fi;
     worker_sleeps = false
  od
}

init {
  atomic { run parent(); run worker() }
  timeout ->
  assert(read == PUBLISHED)
}
