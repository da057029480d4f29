// The names behind a worker's noted stack. Workers are forked from this program, so what the program has loaded lies
// where it lies in them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "leasepool/crash.hpp"
#include "leasepool/detail/registry.hpp"
#include "shared/stack_note.hpp"

namespace leasepool::detail {

// What is done where the symbol table of a file has not been read: that takes some 0.1 ms for each 1,000 functions, and
// 24 bytes for each are kept.
enum class UnreadSymbols : std::uint8_t { are_read, stay_unnamed };

// The stack that a worker noted in a call of the named function, checked, without the library's own frames below the
// function; where the compiler inlined that into the library's frame, the frame has the function's name. With all
// tables there it takes some 30 us.
StackTrace read_stack(const StackNote& note, std::string_view function, UnreadSymbols unread = UnreadSymbols::are_read);

// Has the tables of the files that this program has loaded read in the background, as far as they are missing.
void read_symbols_ahead();

// The name of a function of this program by its symbol, with its parameters; empty if it has none.
std::string function_at(FunctionAddress address);

// The functions of a stack in a few words, innermost first, the last of them always; empty for an empty stack.
std::string in_a_line(const StackTrace& stack);

}  // namespace leasepool::detail
