// Which standard exceptions travel as themselves.
#include "pool/exception_codec.hpp"

#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>

namespace leasepool::detail {

namespace {

struct Carrier {
  const std::type_info* type;
  std::exception_ptr (*make)(const std::string& what);
};

template <class E>
constexpr Carrier carries_what() {
  return {&typeid(E), [](const std::string& what) { return std::make_exception_ptr(E(what)); }};
}
template <class E>
constexpr Carrier carries_type() {
  return {&typeid(E), [](const std::string&) { return std::make_exception_ptr(E()); }};
}

// The index is what travels: both ends are the same program.
const Carrier kCarriers[] = {
    carries_what<std::runtime_error>(),        carries_what<std::logic_error>(),
    carries_what<std::invalid_argument>(),     carries_what<std::domain_error>(),
    carries_what<std::length_error>(),         carries_what<std::out_of_range>(),
    carries_what<std::range_error>(),          carries_what<std::overflow_error>(),
    carries_what<std::underflow_error>(),      carries_type<std::bad_alloc>(),
    carries_type<std::bad_array_new_length>(), carries_type<std::bad_cast>(),
    carries_type<std::bad_typeid>(),           carries_type<std::bad_function_call>(),
    carries_type<std::bad_weak_ptr>(),         carries_type<std::bad_optional_access>(),
};

constexpr std::uint32_t kSystemError = 0xfffffffe;
constexpr std::uint32_t kForeign = 0xffffffff;

// What a report holds besides what(): numbers, and a name that is cut in turn.
constexpr std::size_t kLongestTypeName = 4096;
constexpr std::size_t kOtherParts = kLongestTypeName + 64;

void put(Bytes& out, std::uint32_t number) { out.append(&number, sizeof number); }
void put(Bytes& out, std::string_view text) {
  put(out, static_cast<std::uint32_t>(text.size()));
  out.append(text.data(), text.size());
}
std::uint32_t get_number(ByteReader& reader) {
  std::uint32_t number = 0;
  reader.read(&number, sizeof number);
  return number;
}
std::string get_text(ByteReader& reader) {
  const std::uint32_t length = get_number(reader);
  if (length > reader.left()) throw DecodeError("a text longer than its message");
  std::string text(length, '\0');
  reader.read(text.data(), length);
  return text;
}

std::string current_type_name() {
  const std::type_info* const type = abi::__cxa_current_exception_type();
  if (type == nullptr) return "unknown";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type->name(), nullptr, nullptr, &status),
                                                         &std::free);
  return status == 0 ? name.get() : type->name();
}

// Error codes of the two standard categories keep their meaning in another process; others have only their text.
const std::error_category* category_named(const std::string& name) {
  if (name == std::generic_category().name()) return &std::generic_category();
  if (name == std::system_category().name()) return &std::system_category();
  return nullptr;
}

// The same error from its text: std::system_error appends the code's message to what it is given, if anything.
std::system_error system_error_saying(std::string what, const std::error_code& code) {
  const std::string suffix = code.message();
  if (what == suffix) return {code};
  if (what.ends_with(": " + suffix)) what.resize(what.size() - suffix.size() - 2);
  return {code, what};
}

}  // namespace

void encode_current_exception(Bytes& out, std::size_t limit) {
  const auto put_what = [&](std::string_view what) { put(out, what.substr(0, limit - kOtherParts)); };
  try {
    throw;
  } catch (const std::exception& exception) {
    const std::type_info& type = typeid(exception);
    for (std::uint32_t i = 0; i < std::size(kCarriers); ++i) {
      if (*kCarriers[i].type != type) continue;
      put(out, i);
      put_what(exception.what());
      return;
    }
    const auto* const system = dynamic_cast<const std::system_error*>(&exception);
    if (system != nullptr && type == typeid(std::system_error) &&
        category_named(system->code().category().name()) != nullptr) {
      put(out, kSystemError);
      put_what(system->what());
      put(out, system->code().category().name());
      put(out, static_cast<std::uint32_t>(system->code().value()));
      return;
    }
    put(out, kForeign);
    put_what(exception.what());
    put(out, current_type_name().substr(0, kLongestTypeName));
  } catch (...) {
    put(out, kForeign);
    put(out, std::string_view());
    put(out, current_type_name().substr(0, kLongestTypeName));
  }
}

Error decode_exception(std::string_view function, std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const std::uint32_t kind = get_number(reader);
  const std::string what = get_text(reader);
  if (kind < std::size(kCarriers)) return {kCarriers[kind].make(what), what};
  if (kind == kSystemError) {
    const std::error_category* const category = category_named(get_text(reader));
    if (category == nullptr) throw DecodeError("an unknown category of errors");
    const std::system_error error = system_error_saying(what, {static_cast<int>(get_number(reader)), *category});
    return {std::make_exception_ptr(error), error.what()};
  }
  if (kind != kForeign) throw DecodeError("an unknown kind of exception");
  std::string message = std::string(function) + " threw " + get_text(reader);
  if (!what.empty()) message += ": " + what;
  return {Errc::remote_exception, std::move(message)};
}

void encode_failure(Bytes& out, Errc code, std::string_view message) {
  put(out, static_cast<std::uint32_t>(code));
  put(out, message.substr(0, report_limit(0) - kOtherParts));
}

Error decode_failure(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const std::uint32_t code = get_number(reader);
  if (code < static_cast<std::uint32_t>(Errc::not_started) || code > static_cast<std::uint32_t>(Errc::unsupported)) {
    throw DecodeError("an unknown error code");
  }
  return {static_cast<Errc>(code), get_text(reader)};
}

}  // namespace leasepool::detail
