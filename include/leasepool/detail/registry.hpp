// What the library knows of registered functions, and its errors about them. Without templates and without cereal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/error.hpp"

namespace leasepool::detail {

using FunctionId = std::uint64_t;
using FunctionAddress = void (*)();

// What a worker is doing with a call: decides what an exception means.
enum class CallPhase { decoding, running, encoding };

// One call inside a worker.
struct Invocation {
  std::span<const std::byte> arguments;
  std::span<Fd> descriptors{};  // of the arguments
  ByteWriter* result = nullptr;
  DescriptorWriter* result_descriptors = nullptr;
  CallPhase phase = CallPhase::decoding;
};

// What the registry knows of a function. `invoke` is null when a type of its signature cannot be encoded.
struct RegisteredFunction {
  FunctionAddress address = nullptr;
  FunctionId id = 0;
  std::string_view name;
  void (*invoke)(Invocation&) = nullptr;
  std::source_location where;
};

// Adds a function to the registry. Called during static initialization; duplicate ids are reported by
// check_registry(), because nothing can be thrown usefully from here.
bool register_function(const RegisteredFunction& function);

// Notes that calls of this program may carry descriptors, and tells whether that was noted. Where it was not, messages
// are received without looking for any, which is cheaper. Called during static initialization.
bool note_descriptors();
bool carries_descriptors();

// The registered function at an address; null if there is none.
const RegisteredFunction* find_function(FunctionAddress address);

Error unregistered_function_error(std::string_view function);
Error not_serializable_error(std::string_view function, std::string_view type);
Error payload_too_large_error(std::string_view function, std::string_view what, std::size_t size, std::size_t limit);
Error too_many_descriptors_error(std::string_view function, std::string_view what, std::size_t count);
Error bad_payload_error(std::string_view function, std::string_view what, std::string_view reason);
std::string describe_current_exception();

}  // namespace leasepool::detail
