// The ring from a loop to many threads, from which the loop can take an element back: each element is had once.
//
// models: src/base/spmc_ring.hpp
//   push, publish, recall, skip_recalled: the producer's functions of those names     consumer: pop(), until all is over
// Elements are numbers, and 0 is null. Whoever swaps an element out of its place has it; positions only say where to
// look, so two that take one position would be no harm. A weak exchange that fails without a reason only goes round once more: it is left
// out. A head that does not fit is loaded anew.
//
// asserted: each element is had by one consumer or taken back, once; the head never passes what was published; and where
// a push is refused, one element at least is under way, as only its end brings the next push.
//
// holds: safety
// holds: safety CONSUMERS=1 ELEMENTS=5
// fails: safety NO_LOOK_AT_PLACE: the producer fills a place whose element was claimed and is still there
// fails: safety RECALL_IN_TWO_STEPS: the producer takes an element back by looking and then clearing the place
// fails: safety POP_IN_TWO_STEPS: a consumer takes an element by looking and then clearing the place
// fails: safety PUBLISH_FIRST: the producer publishes a position and then fills its place
// fails: safety SKIPS_ALL: the producer passes over positions whose elements are there
// fails: safety NO_SKIP: the producer leaves it to consumers to pass over what was taken back
#ifndef CONSUMERS
#define CONSUMERS 2
#endif
#ifndef ELEMENTS
#define ELEMENTS 4
#endif
#define PLACES 2

byte head = 0, tail = 0;
byte place[PLACES];
byte had[ELEMENTS + 1];
byte back = 0;  // elements that were had
bool over = false;

// Of the head, if it is still as it was loaded.
inline claim_head(ok) {
  d_step {
    ok = head == h;
    if
    :: ok -> head = h + 1; assert(head <= tail)
    :: else -> h = head
    fi
  }
}

inline skip_recalled() {
  h = head;
  do
#ifdef SKIPS_ALL
  :: h != tail ->
#else
  :: h != tail && place[h % PLACES] == 0 ->
#endif
     claim_head(ok);
     if
     :: ok -> h = h + 1
     :: else
     fi
  :: else -> break
  od;
  atomic { known_head = h; h = 0; ok = false }
}

inline recall(element) {
  at = 0;
  do
  :: at < PLACES && place[at] == element ->
#ifdef RECALL_IN_TWO_STEPS
     place[at] = 0;
     d_step { had[element]++; back++ }
     break
#else
     d_step {
       if
       :: place[at] == element -> place[at] = 0; had[element]++; back++; ok = true
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

proctype producer() {
  byte h, pushed = 0, known_head = 0, known_back, next = 1, at;
  bool ok;
  do
  :: next <= ELEMENTS ->
     // push(); where it is refused, the element waits until one comes back: so one must be under way.
     known_back = back;
     if
     :: pushed - known_head >= PLACES ->
#ifdef NO_SKIP
        known_head = head
#else
        skip_recalled()
#endif
     :: else
     fi;
     if
#ifdef NO_LOOK_AT_PLACE
     :: pushed - known_head >= PLACES ->
#else
     :: pushed - known_head >= PLACES || place[pushed % PLACES] != 0 ->
#endif
        assert(known_back < next - 1);
        back > known_back
     :: else ->
#ifdef PUBLISH_FIRST
        tail = pushed + 1;
#endif
        place[pushed % PLACES] = next;
        d_step { pushed++; next++ }
        if
        :: tail = pushed  // publish()
        :: next <= ELEMENTS  // with the next one
        fi;
        // Only of what is published: of two that were not and are taken back, a push finds no room.
        if
        :: tail == pushed -> recall(next - 1)
        :: tail == pushed && next > 2 -> recall(next - 2)
        :: true
        fi
     fi
  :: else -> break
  od;
  tail = pushed;
  over = true
}

proctype consumer() {
  byte h, element;
  bool ok, last;
  do
  :: last = over;
     h = head;
     do
     :: h != tail ->
        claim_head(ok);
        if
        :: ok ->
#ifdef POP_IN_TWO_STEPS
           element = place[h % PLACES];
           place[h % PLACES] = 0;
#else
           d_step { element = place[h % PLACES]; place[h % PLACES] = 0 }
#endif
           if
           :: element != 0 -> break
           :: else -> h++
           fi
        :: else
        fi
     :: else -> break
     od;
     atomic {
       h = 0;
       ok = false;
       last = last && element == 0;
       if
       :: element != 0 -> had[element]++; back++; assert(had[element] == 1); element = 0
       :: else
       fi
     }
     if
     :: last -> break
     :: else
     fi
  od
}

init {
  byte i = 0;
  atomic {
    do
    :: i < CONSUMERS -> run consumer(); i++
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
