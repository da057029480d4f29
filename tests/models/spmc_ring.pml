// The ring from a loop to many threads, from which the loop can take an element back: each element is had once, and
// nobody finds nothing where something is.
//
// models: src/base/spmc_ring.hpp
//   push, publish, recall, skip_taken: the producer's functions of those names     consumer: pop(), until all is over
// Elements are numbers, and 0 is null; a place is an element and a round. Whoever changes an element to null has it. A
// place that was never filled is of the round before the first. A head that does not fit is loaded anew. Two elements
// may be published at once: the last one first, which is not needed: FIRST_TO_LAST holds, too, and only costs more.
//
// asserted: each element is had by one consumer or taken back, once; the head passes nothing that is there; a place is
// filled when it is empty; a consumer that finds nothing began to look when, or looked while, nothing published was
// left; and where a push is refused, one element at least is under way, as only its end brings the next push.
//
// holds: safety
// holds: safety CONSUMERS=1 ELEMENTS=5
// holds: safety FIRST_TO_LAST
// fails: safety ONE_LOOK: a consumer that finds nothing does not look whether the head has moved meanwhile
// fails: safety NO_ROUND: any element is new, also what was there when the ring last went round
// fails: safety NULL_HAS_NO_ROUND: a place that was emptied says nothing of the round in which it was
// fails: safety HEAD_FIRST: a consumer moves the head and then empties the place, which what was taken back keeps till then
// fails: safety TAKE_IN_TWO_STEPS: a consumer takes an element by looking and then clearing the place
// fails: safety RECALL_IN_TWO_STEPS: the producer takes an element back by looking and then clearing the place
// fails: safety PASS_BY_STORE: whoever moves the head stores it
// fails: safety SKIPS_ALL: the producer passes over positions whose elements are there
// fails: safety NO_SKIP: the producer leaves it to consumers to pass over what was taken back
// fails: safety NO_LIMIT: the producer fills a place that the head has not passed
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef ELEMENTS
#define ELEMENTS 4
#endif
#define PLACES 2
#define RECALLED 99

#define ROUND(position) ((((position) / PLACES) % 2) ^ 1)
#define IS_OF(position) (round_in[(position) % PLACES] == ROUND(position))

byte head = 0;
byte place[PLACES];
bit round_in[PLACES];
byte had[ELEMENTS + 1];
byte back = 0;      // elements that were had
short there = 0;    // of those that were published, how many are left; all of a publish() count when it is done
bool was_empty[CONSUMERS];  // since this consumer began to look
bool over = false;

inline note_empty() {
  if
  :: there <= 0 -> was_empty[0] = true; was_empty[CONSUMERS - 1] = true
  :: else
  fi
}
// In a step.
inline take(at) {
  had[place[at]]++;
  assert(had[place[at]] == 1);
  place[at] = 0;
#ifdef NULL_HAS_NO_ROUND
  round_in[at] = 0;
#endif
  back++;
  there--;
  note_empty()
}
inline pass() {
#ifdef PASS_BY_STORE
  head = h + 1;
  h = h + 1
#else
  d_step {
    if
    :: head == h -> assert(IS_OF(h) && place[h % PLACES] == 0); head = h + 1; h = h + 1
    :: else -> h = head
    fi
  }
#endif
}

inline skip_taken() {
  h = head;
  do
#ifdef SKIPS_ALL
  :: h != pushed -> pass()
#elif defined(HEAD_FIRST)
  :: IS_OF(h) && place[h % PLACES] == RECALLED ->
     d_step {
       ok = head == h;
       h = head;
       if
       :: ok -> head = h + 1
       :: else
       fi
     }
     if
     :: ok -> place[h % PLACES] = 0; h++
     :: else
     fi
#else
  :: IS_OF(h) && place[h % PLACES] == 0 -> pass()
#endif
  :: else -> break
  od;
  atomic { known_head = h; h = 0; ok = false }
}

inline recall(element) {
  at = 0;
  do
  :: at < PLACES && place[at] == element ->
#ifdef RECALL_IN_TWO_STEPS
     d_step { had[element]++; back++; there--; note_empty() }
     place[at] = 0;
     break
#else
     d_step {
       if
       :: place[at] == element ->
          take(at);
          ok = true;
#ifdef HEAD_FIRST
          place[at] = RECALLED
#endif
       :: else
       fi
     }
     if
     :: ok -> break
     :: else -> at++
     fi
#endif
  :: at < PLACES && place[at] != element -> at++
  :: at == PLACES -> break
  od;
  atomic { at = 0; ok = false }
}

inline fill(position, element) {
  assert(place[(position) % PLACES] == 0);
  place[(position) % PLACES] = element;
  round_in[(position) % PLACES] = ROUND(position)
}

// Position p has element p + 1.
inline publish() {
#ifdef FIRST_TO_LAST
  do
  :: published + 1 < pushed -> d_step { fill(published, published + 1); published++; count++ }
  :: published + 1 == pushed ->
     d_step { fill(published, published + 1); published++; there = there + count + 1; count = 0 }
     break
  :: published == pushed -> break
  od
#else
  at = pushed;
  do
  :: at > published + 1 -> d_step { at--; fill(at, at + 1) }
  :: at == published + 1 ->
     d_step { at--; fill(at, at + 1); there = there + pushed - published; published = pushed }
     break
  :: at == published -> break
  od;
  at = 0
#endif
}

proctype producer() {
  byte h, pushed = 0, published = 0, known_head = 0, known_back, at;
#ifdef FIRST_TO_LAST
  byte count;
#endif
  bool ok;
  do
  :: pushed < ELEMENTS ->
     // push(); where it is refused, the element waits until one comes back: so one must be under way.
     known_back = back;
#ifndef NO_LIMIT
     if
     :: pushed - known_head >= PLACES ->
#ifdef NO_SKIP
        known_head = head
#else
        skip_taken()
#endif
     :: else
     fi;
#endif
     if
#ifndef NO_LIMIT
#ifdef HEAD_FIRST
     :: pushed - known_head >= PLACES || place[pushed % PLACES] != 0 ->
#else
     :: pushed - known_head >= PLACES ->
#endif
        publish();  // as a flush does at its end
        assert(known_back < pushed);
        back > known_back
#endif
     :: else ->
        pushed++;
        if
        :: publish()
        :: pushed < ELEMENTS  // with the next one
        fi;
        // Only of what is published: of two that were not and are taken back, a push finds no room.
        if
        :: published == pushed -> recall(pushed)
        :: published == pushed && pushed > 1 -> recall(pushed - 1)
        :: true
        fi
     fi
  :: else -> break
  od;
  publish();
  over = true
}

proctype consumer(byte me) {
  byte h, seen;
  bool last, has, none;
  do
  :: atomic { last = over; was_empty[me] = there <= 0 }
     h = head;
     do
#ifdef NO_ROUND
     :: place[h % PLACES] == 0 ->
#else
     :: !IS_OF(h) ->  // nothing there, or others have had it
#endif
#ifdef ONE_LOOK
        none = true;
#else
        d_step { none = h == head; h = head }
#endif
        if
        :: none -> break
        :: else
        fi
     :: else ->
#ifdef HEAD_FIRST
        d_step {
          has = h == head;
          if
          :: has -> head = h + 1
          :: else -> h = head
          fi
        }
        if
        :: has ->
           d_step {
             has = place[h % PLACES] != RECALLED;
             if
             :: has -> take(h % PLACES)
             :: else -> place[h % PLACES] = 0; h++
             fi
           }
        :: else
        fi;
#else
        seen = place[h % PLACES];
        if
        :: seen != 0 ->
#ifdef TAKE_IN_TWO_STEPS
           d_step { had[seen]++; back++; there--; note_empty(); has = true }
           d_step { place[h % PLACES] = 0; assert(had[seen] == 1) }
#else
           d_step {
             if
             :: place[h % PLACES] == seen -> take(h % PLACES); has = true
             :: else
             fi
           }
#endif
        :: else
        fi;
        if
        :: has || seen == 0 -> pass()
        :: else
        fi;
#endif
        if
        :: has -> break
        :: else
        fi
     od;
     if
     :: none ->
#ifndef HEAD_FIRST  // there what is claimed does not count
        assert(was_empty[me]);
#endif
        atomic { none = false; seen = 0; h = 0 }
        if
        :: last -> break
        :: else
        fi
     :: else -> atomic { has = false; seen = 0; h = 0 }
     fi
  od
}

init {
  byte i = 0;
  atomic {
    do
    :: i < CONSUMERS -> run consumer(i); i++
    :: else -> break
    od;
    i = 1;
    run producer()
  }
  _nr_pr == 1 ->
  do
  :: i <= ELEMENTS -> assert(had[i] == 1); i++
  :: else -> break
  od
}
