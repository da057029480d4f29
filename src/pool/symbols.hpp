// The names behind a worker's noted stack. Workers are forked from this program, so what the program has loaded lies
// where it lies in them.
#pragma once

#include "leasepool/crash.hpp"
#include "pool/stack_note.hpp"

namespace leasepool::detail {

// The stack that a worker noted, checked, without the library's own frames below the function. Reads the symbol tables
// of the program's own files: some 25 us where they are small, 300 us in a program of
// 50,000 functions. Loop thread.
StackTrace read_stack(const StackNote& note);

// The functions of a stack in a few words, innermost first; empty for an empty stack.
std::string in_a_line(const StackTrace& stack);

}  // namespace leasepool::detail
