// Bytes from one process to another through shared memory: each is read once, as it was written, and the reader never
// sleeps with something there.
//
// models: src/wire/byte_ring.hpp src/wire/shared_channel.hpp src/worker/worker_channel.hpp
//   writer: room, write, publish, must_wake, then a frame `wake` through the socket
//   reader: refresh, read, prepare_park, then it sleeps in its socket; cancel_park
// It is the same in both directions; how a parent sends its wakes is wake.pml's. Where a ring has no room the frame goes
// through the socket: here the writer waits.
//
// asserted: what is read is what was written, in order; neither end finds that the other has told a position that cannot
// be; the writer wakes no more often than the reader slept, for which a worker is killed; and when nothing moves any
// more, all was read.
//
// holds: safety
// holds: safety SIZE=1 BYTES=4
// fails: safety WAKES_FIRST: the writer looks whether the reader sleeps and then publishes
// fails: safety NO_SECOND_LOOK: the reader sleeps without looking once more after it said that it sleeps
// fails: safety FLAG_STAYS: the writer wakes the reader and leaves the flag
// fails: safety TELLS_FIRST: the reader tells that it has read and then copies
// fails: safety PUBLISHES_FIRST: the writer publishes and then copies
// fails: safety NO_ROOM: the writer trusts in the room that it knew of
#ifndef SIZE
#define SIZE 2
#endif
#ifndef BYTES
#define BYTES 5
#endif

byte written = 0, read = 0;
bool reader_sleeps = false;
byte bytes[SIZE];
byte in_socket = 0;  // wakes
byte sleeps = 0, wakes = 0;  // of the reader; that it was sent

proctype writer() {
  byte own = 0, known_room = SIZE;
  bool must_wake;
  do
  :: own < BYTES ->
     if
     :: known_room == 0 ->
        d_step { assert(own - read <= SIZE); known_room = SIZE - (own - read) }
     :: else
     fi;
#ifdef NO_ROOM
     if
     :: true ->
#else
     if
     :: known_room == 0 -> own - read < SIZE
     :: else ->
#endif
#ifdef PUBLISHES_FIRST
        written = own + 1;
#endif
        bytes[own % SIZE] = own + 1;
#ifdef NO_ROOM
        d_step { own++; known_room = SIZE }
#else
        d_step { own++; known_room-- }
#endif
        if
        :: own < BYTES && known_room > 0  // more of the frame
        :: true ->
#ifndef WAKES_FIRST
           written = own;
#endif
           if
           :: reader_sleeps ->
#ifdef FLAG_STAYS
              must_wake = reader_sleeps;
#else
              d_step { must_wake = reader_sleeps; reader_sleeps = false }
#endif
              if
              :: must_wake -> d_step { in_socket++; wakes++; assert(wakes <= sleeps) }
              :: else
              fi;
              must_wake = false
           :: else
           fi
#ifdef WAKES_FIRST
           ;
           written = own
#endif
        fi
     fi
  :: else -> break
  od
}

proctype reader() {
  byte own = 0, seen = 0;
  do
  :: written != own ->  // ready() and refresh()
     seen = written;
     assert(seen - own <= SIZE);
#ifdef TELLS_FIRST
     read = seen;
#endif
     do
     :: own != seen -> d_step { assert(bytes[own % SIZE] == own + 1); own++ }
     :: else -> break
     od;
     seen = 0;
     read = own
  :: d_step { in_socket > 0 -> in_socket-- }  // late: a loop reads its socket awake, too
  :: written == own ->
     sleeps++;
     reader_sleeps = true;
#ifndef NO_SECOND_LOOK
     if
     :: written == own ->
#endif
end_asleep:
        d_step { in_socket > 0 -> in_socket-- }
#ifndef NO_SECOND_LOOK
     :: else
     fi;
#endif
     reader_sleeps = false
  od
}

init {
  atomic { run writer(); run reader() }
  timeout ->
  assert(read == BYTES)
}
