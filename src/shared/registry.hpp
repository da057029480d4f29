// Looking up registered functions where they run.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "leasepool/detail/registry.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

// Null if this process does not know the id. Any thread; needs no memory and takes no lock.
const RegisteredFunction* find_function_by_id(FunctionId id) noexcept;

// A hash of all functions that are registered now, with their types: equal where two processes have the same ones. Any
// thread.
std::uint64_t catalogue_hash() noexcept;

// A hash of the build ids of the files that registered functions are in, of the program's own where there are none; 0
// where one has no build id, or there is no memory to find out. Any thread.
std::uint64_t functions_build() noexcept;

// Of all functions that are registered now, in order. Any thread. Throws std::bad_alloc.
std::vector<std::string> function_names();

// Throws LeasePoolError naming both functions when two share an id or an address, std::bad_alloc when there was no
// memory to register all. After it there may be workers, which have what was registered until then: what is registered
// again later is another function to them, and gets another id.
void check_registry();

// What a frame of a stack is to a call of a function, by where the code begins that the frame is in.
enum class CallFrame { other, function, caller };
CallFrame frame_in_call(std::string_view function, FunctionAddress begin) noexcept;

}  // namespace leasepool::detail
