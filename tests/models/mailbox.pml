// The mailbox that many threads push to and one takes whole: nothing is lost, doubled or out of its sender's order, and
// what comes after the close goes back.
//
// models: src/base/intrusive_queue.hpp
//   push, take_all, close: IntrusiveMailbox's functions of those names
// Letters are numbers, and 0 is null. A letter that was taken is pushed again by whoever finds it free, as memory is
// used again: the head may be the same letter as before with others below it.
//
// asserted: what is taken was pushed and not taken since; of one sender in order; after the end each push was taken or
// refused; and nothing is in a closed mailbox.
//
// holds: safety
// fails: safety PUSH_BY_STORE: a thread pushes by looking and then storing the head
// fails: safety LINKS_LAST: a thread links what it has pushed already
// fails: safety TAKES_BY_STORE: the consumer takes all by looking and then storing null
// fails: safety CLOSED_BY_STORE: the end takes what is left by looking and then storing that it is closed
// fails: safety TAKES_ONE: the consumer takes the first letter alone, by an exchange of the head for the next
#define SENDERS 2
#define PUSHES 2
#define LETTERS 3
#define CLOSED 9

byte head = 0;
byte next[LETTERS + 1];
bool used[LETTERS + 1];
bool pushed[LETTERS + 1];  // in the mailbox, or about to be
byte sender[LETTERS + 1];
byte number[LETTERS + 1];
byte received = 0, refused = 0;
byte newest[SENDERS];  // of what was received, the last number of each

inline exchange_head(with, ok) {
  d_step {
    ok = head == first;
    if
    :: ok -> head = with
    :: else -> first = head
    fi
  }
}

proctype thread(byte me) {
  byte pushes = 0, letter, first;
  bool ok;
  do
  :: pushes < PUSHES ->
     atomic {
       pushes++;
       if
       :: !used[1] -> letter = 1
       :: !used[2] -> letter = 2
       :: !used[3] -> letter = 3
       fi;
       used[letter] = true;
       sender[letter] = me;
       number[letter] = pushes;
       pushed[letter] = true
     }
     first = head;
     do
     :: first == CLOSED -> d_step { refused++; pushed[letter] = false; used[letter] = false }; break
     :: else ->
#ifndef LINKS_LAST
        next[letter] = first;
#endif
#ifdef PUSH_BY_STORE
        ok = head == first;
        if
        :: ok -> head = letter
        :: else -> first = head
        fi;
#else
        exchange_head(letter, ok);
#endif
        if
        :: ok ->
#ifdef LINKS_LAST
           next[letter] = first;
#endif
           break
        :: else
        fi
     od;
     atomic { letter = 0; first = 0; ok = false }
  :: else -> break
  od
}

// Oldest first: the list is the other way round.
inline receive_all() {
  oldest = 0;
  do
  :: first != 0 ->
     d_step { at = next[first]; next[first] = oldest; oldest = first; first = at; at = 0 }
     assert(first == 0 || pushed[first])
  :: else -> break
  od;
  do
  :: oldest != 0 ->
     d_step {
       assert(pushed[oldest] && number[oldest] > newest[sender[oldest]]);
       newest[sender[oldest]] = number[oldest];
       received++;
       pushed[oldest] = false;
       used[oldest] = false;
       oldest = next[oldest]
     }
  :: else -> break
  od
}

proctype consumer() {
  byte first, oldest, at;
  bool ok;
  do
#ifdef TAKES_ONE
  :: head != 0 ->
     first = head;
     at = next[first];
     exchange_head(at, ok);
     if
     :: ok -> next[first] = 0; receive_all()
     :: else
     fi;
     atomic { first = 0; at = 0; ok = false }
#else
  :: head != 0 ->
#ifdef TAKES_BY_STORE
     first = head;
     head = 0;
#else
     d_step { first = head; head = 0 }
#endif
     receive_all()
#endif
  :: true -> break
  od;
#ifdef CLOSED_BY_STORE
  first = head;
  head = CLOSED;
#else
  atomic { first = head; head = CLOSED }
#endif
  receive_all();
  assert(head == CLOSED)
}

init {
  atomic { run thread(0); run thread(1); run consumer() }
  timeout ->
  assert(head == CLOSED && received + refused == SENDERS * PUSHES)
}
