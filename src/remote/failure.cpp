// Failures as numbers and texts, one after the other.
#include "remote/failure.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "leasepool/detail/access.hpp"
#include "remote/frame.hpp"

namespace leasepool::detail::remote {

namespace {

constexpr std::size_t kMaxText = std::size_t{16} << 10;
constexpr std::size_t kMaxFrames = 128;

enum class Known : std::uint64_t { nothing, crash, stack };

void put_long_text(Bytes& out, std::string_view text) {
  const std::string_view most = text.substr(0, kMaxText);
  put_number(out, most.size());
  out.append(most.data(), most.size());
}

std::string get_long_text(ByteReader& reader) {
  const std::uint64_t size = get_number(reader);
  if (size > std::min(kMaxText, reader.left())) throw DecodeError("a text of " + std::to_string(size) + " bytes");
  std::string text(static_cast<std::size_t>(size), '\0');
  reader.read(text.data(), text.size());
  return text;
}

void put_optional(Bytes& out, const std::optional<int>& number) {
  put_number(out, number ? 1 : 0);
  put_number(out, static_cast<std::uint64_t>(number.value_or(0)));
}

std::optional<int> get_optional(ByteReader& reader) {
  const bool is_there = get_number(reader) != 0;
  const auto number = static_cast<int>(get_number(reader));
  return is_there ? std::optional(number) : std::nullopt;
}

void put_stack(Bytes& out, const StackTrace& stack) {
  const std::size_t size = std::min(stack.size(), kMaxFrames);
  put_number(out, size);
  for (const StackFrame& frame : std::span(stack).first(size)) {
    put_number(out, frame.address);
    put_number(out, frame.offset);
    put_long_text(out, frame.module);
    put_long_text(out, frame.function);
  }
}

StackTrace get_stack(ByteReader& reader) {
  const std::uint64_t size = get_number(reader);
  if (size > kMaxFrames) throw DecodeError("a stack of " + std::to_string(size) + " functions");
  StackTrace stack(static_cast<std::size_t>(size));
  for (StackFrame& frame : stack) {
    frame.address = get_number(reader);
    frame.offset = get_number(reader);
    frame.module = get_long_text(reader);
    frame.function = get_long_text(reader);
  }
  return stack;
}

void put_crash(Bytes& out, const WorkerCrash& crash) {
  put_optional(out, crash.signal);
  put_optional(out, crash.exit_code);
  for (const std::uint64_t number :
       {static_cast<std::uint64_t>(crash.out_of_memory), static_cast<std::uint64_t>(crash.stack_overflow),
        crash.call_id, crash.worker_id, static_cast<std::uint64_t>(crash.pid), crash.max_resident_bytes}) {
    put_number(out, number);
  }
  for (const Duration duration : {crash.ran_for, crash.user_time, crash.system_time}) put_duration(out, duration);
  for (const std::string* const text : {&crash.function, &crash.owner, &crash.stderr_tail}) put_long_text(out, *text);
  put_stack(out, crash.stack);
}

WorkerCrash get_crash(ByteReader& reader) {
  WorkerCrash crash;
  crash.signal = get_optional(reader);
  crash.exit_code = get_optional(reader);
  crash.out_of_memory = get_number(reader) != 0;
  crash.stack_overflow = get_number(reader) != 0;
  crash.call_id = get_number(reader);
  crash.worker_id = get_number(reader);
  crash.pid = static_cast<int>(get_number(reader));
  crash.max_resident_bytes = get_number(reader);
  for (Duration* const duration : {&crash.ran_for, &crash.user_time, &crash.system_time}) {
    *duration = get_duration(reader);
  }
  for (std::string* const text : {&crash.function, &crash.owner, &crash.stderr_tail}) *text = get_long_text(reader);
  crash.stack = get_stack(reader);
  return crash;
}

Error with_details(const Error& error, ErrorDetails details) {
  return Access::with_details(error, std::make_shared<const ErrorDetails>(std::move(details)));
}

}  // namespace

void put_failure(Bytes& out, const Error& error) {
  put_number(out, static_cast<std::uint64_t>(errc_of(error.code())));
  put_number(out, error.may_have_run() ? 1 : 0);
  put_long_text(out, error.message());
  if (error.crash() != nullptr) {
    put_number(out, std::to_underlying(Known::crash));
    put_crash(out, *error.crash());
  } else if (!error.stack().empty()) {
    put_number(out, std::to_underlying(Known::stack));
    put_stack(out, error.stack());
  } else {
    put_number(out, std::to_underlying(Known::nothing));
  }
}

// What is no failure of the library's over there, such as a lack of memory, has none of our codes.
Error get_failure(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const std::uint64_t code = get_number(reader);
  if (code > static_cast<std::uint64_t>(kLastErrc)) throw DecodeError("an unknown error code");
  const bool may_have_run = get_number(reader) != 0;
  Error error(code == 0 ? Errc::cancelled : static_cast<Errc>(code), get_long_text(reader));
  if (!may_have_run) error = Access::not_run(error);
  switch (static_cast<Known>(get_number(reader))) {
    case Known::nothing: return error;
    case Known::crash: return with_details(error, {.crash = get_crash(reader), .stack = {}});
    case Known::stack: return with_details(error, {.crash = {}, .stack = get_stack(reader)});
  }
  throw DecodeError("a failure with unknown details");
}

}  // namespace leasepool::detail::remote
