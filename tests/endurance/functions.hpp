// What the calls of the long runs do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace endurance {

std::uint64_t add(std::uint64_t a, std::uint64_t b);
std::string echo(std::string text);
// Throws std::runtime_error(text).
void fail(std::string text);
int nap(int milliseconds);
// The end of a worker process: 0 by a signal, 1 by abort(), 2 by _exit().
void crash(int how);
// Its worker dies so much later, whatever it does then.
void doom(int microseconds);
// Counts that it has begun, for everybody to see. Gives the number back.
std::size_t mark(std::size_t number);
// The fork server that a worker comes from.
int parent_process();

// Before init(): so that all processes count in the same memory.
void make_marks(std::size_t numbers);
// How often mark() began with that number since this was last asked.
unsigned take_marks(std::size_t number);

}  // namespace endurance
