// What the library knows of registered functions, and its errors about them. Without templates and without cereal.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <source_location>
#include <span>
#include <string>
#include <string_view>

#include "leasepool/detail/bytes.hpp"
#include "leasepool/detail/descriptors.hpp"
#include "leasepool/detail/export.hpp"
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

// 64-bit FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv): stable across builds and compilers.
constexpr FunctionId function_id(std::string_view name) {
  FunctionId hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

// What a registration says of its function. It lies in the program or library that registers it, and goes with that.
struct FunctionDescription {
  FunctionAddress address = nullptr;
  std::string_view name;
  void (*invoke)(Invocation&) = nullptr;
  FunctionAddress caller = nullptr;  // the frame below the function's own, and where it may have been inlined
  std::uint64_t signature = 0;       // a hash of the types of its parameters and its result
  std::source_location where;
};

// What the registry knows of a function. It stays, with its name, when a plug-in that registered the function is
// closed, and the function is another one's when the plug-in is opened again.
struct RegisteredFunction {
  std::atomic<FunctionAddress> address{nullptr};  // null: it is gone
  std::atomic<FunctionId> id{0};
  std::string_view name;
  std::atomic<void (*)(Invocation&)> invoke{nullptr};
  std::atomic<FunctionAddress> caller{nullptr};
  std::atomic<std::uint64_t> signature{0};
};

// One LEASEPOOL_REGISTER: a static object, so that it ends when its program or library does. Where there is no memory
// to add it, init() throws std::bad_alloc; calls of a library that came later fail with unregistered_function.
class LEASEPOOL_EXPORT Registration {
 public:
  explicit Registration(const FunctionDescription& function) noexcept;
  Registration(const Registration&) = delete;
  Registration& operator=(const Registration&) = delete;
  ~Registration();

 private:
  friend class Registry;

  const FunctionDescription function_;
  Registration* next_ = nullptr;  // of the same function
};

// Notes that calls of this program may carry descriptors, and tells whether that was noted. Where it was not, messages
// are received without looking for any, which is cheaper. Called during static initialization.
LEASEPOOL_EXPORT bool note_descriptors();
bool carries_descriptors();

// The registered function at an address; null if there is none. Any thread; needs no memory and takes no lock.
LEASEPOOL_EXPORT const RegisteredFunction* find_function(FunctionAddress address) noexcept;

// The same, and also one that is gone: for its name.
LEASEPOOL_EXPORT const RegisteredFunction* last_function(FunctionAddress address) noexcept;

// Of a callable that is not a function, by its type, of a function that is not registered, and of one that cannot be,
// because of a type that has to do with it.
LEASEPOOL_EXPORT Error unregistered_function_error(std::string_view type);
LEASEPOOL_EXPORT Error unregistered_function_error(FunctionAddress address, std::string_view type);
LEASEPOOL_EXPORT Error not_serializable_error(FunctionAddress address, std::string_view type, std::string_view refused);
LEASEPOOL_EXPORT Error payload_too_large_error(std::string_view function, std::string_view what, std::size_t size,
                                               std::size_t limit);
LEASEPOOL_EXPORT Error too_many_descriptors_error(std::string_view function, std::string_view what, std::size_t count);
LEASEPOOL_EXPORT Error bad_payload_error(std::string_view function, std::string_view what, std::string_view reason);
// Why a result could not be decoded: payload_too_large, bad_payload, or that there is no memory.
LEASEPOOL_EXPORT Error decoding_error(std::string_view function, const std::exception_ptr& thrown) noexcept;
// There is something in the place of a result of a function that has none.
LEASEPOOL_EXPORT Error unexpected_result_error(std::string_view function) noexcept;

}  // namespace leasepool::detail
