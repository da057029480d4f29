// The names behind a worker's noted stack. Workers are forked from this program, so what the program has loaded lies
// where it lies in them.
#pragma once

#include "leasepool/crash.hpp"
#include "pool/stack_note.hpp"

namespace leasepool::detail {

// The stack that a worker noted, checked, without the library's own frames below the function. The first to meet a file
// reads its symbol table and keeps it: some 25 us for a small one, 300 us and a megabyte for one of 50,000 functions.
StackTrace read_stack(const StackNote& note);

// Reads the tables that read_stack() needs in any case, if that has not been done: those of the program and of this
// library. For when there is time.
void read_symbols_ahead();

// The functions of a stack in a few words, innermost first; empty for an empty stack.
std::string in_a_line(const StackTrace& stack);

}  // namespace leasepool::detail
