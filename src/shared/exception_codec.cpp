// Which standard exceptions travel as themselves.
#include "shared/exception_codec.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <any>
#include <cstdint>
#include <cstdlib>
#include <expected>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <memory>
#include <new>
#include <optional>
#include <regex>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <utility>
#include <variant>
#include <version>
#ifdef __cpp_lib_format
#include <format>
#endif

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

// A standard exception that takes no text, with the text it had: copied as such must be, without throwing.
template <class E>
class WithWhat final : public E {
 public:
  template <class... A>
  explicit WithWhat(std::string what, A&&... arguments)
      : E(std::forward<A>(arguments)...), what_(std::make_shared<const std::string>(std::move(what))) {}
  [[nodiscard]] const char* what() const noexcept override { return what_->c_str(); }

 private:
  std::shared_ptr<const std::string> what_;
};
template <class E>
constexpr Carrier carries_saying() {
  return {&typeid(E), [](const std::string& what) { return std::make_exception_ptr(WithWhat<E>(what)); }};
}

// The index is what travels: both ends are the same program.
const Carrier kCarriers[] = {
    carries_what<std::runtime_error>(),
    carries_what<std::logic_error>(),
    carries_what<std::invalid_argument>(),
    carries_what<std::domain_error>(),
    carries_what<std::length_error>(),
    carries_what<std::out_of_range>(),
    carries_what<std::range_error>(),
    carries_what<std::overflow_error>(),
    carries_what<std::underflow_error>(),
#ifdef __cpp_lib_format
    carries_what<std::format_error>(),
#endif
    carries_type<std::exception>(),
    carries_type<std::bad_exception>(),
    carries_type<std::bad_alloc>(),
    carries_type<std::bad_array_new_length>(),
    carries_type<std::bad_cast>(),
    carries_type<std::bad_any_cast>(),
    carries_type<std::bad_typeid>(),
    carries_type<std::bad_function_call>(),
    carries_type<std::bad_weak_ptr>(),
    carries_type<std::bad_optional_access>(),
    carries_saying<std::bad_variant_access>(),
    carries_saying<std::bad_expected_access<void>>(),
};

// The kinds that have more than a text.
constexpr std::uint32_t kRegexError = 0xfffffffa;
constexpr std::uint32_t kFutureError = 0xfffffffb;
constexpr std::uint32_t kFilesystemError = 0xfffffffc;
constexpr std::uint32_t kStreamFailure = 0xfffffffd;
constexpr std::uint32_t kSystemError = 0xfffffffe;
constexpr std::uint32_t kForeign = 0xffffffff;

// The highest value that the enumeration std::regex_constants::error_type has bits for.
constexpr std::uint32_t kHighestRegexCode = 15;

// A type's name, or a path: no usable one is longer.
constexpr std::size_t kMaxName = 4096;

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
std::string get_text(ByteReader& reader, std::size_t most = SIZE_MAX) {
  const std::uint32_t length = get_number(reader);
  if (length > reader.left()) throw DecodeError("a text longer than its message");
  if (length > most)
    throw DecodeError("a text of " + std::to_string(length) + " bytes where " + std::to_string(most) + " are the most");
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

// The type to travel as. For two that are the standard library's alone it is their base: a stream's failure has one of
// its own, and that of std::expected without a value has the error in it, which no other process need know how to
// decode.
const std::type_info& type_to_carry(const std::exception& exception) {
  if (dynamic_cast<const std::ios_base::failure*>(&exception) != nullptr &&
      current_type_name() == "std::__ios_failure") {
    return typeid(std::ios_base::failure);
  }
  if (dynamic_cast<const std::bad_expected_access<void>*>(&exception) != nullptr &&
      current_type_name().starts_with("std::bad_expected_access<")) {
    return typeid(std::bad_expected_access<void>);
  }
  return typeid(exception);
}

// The categories whose codes keep their meaning in another process; of others there is only the text. The index is what
// travels.
const std::error_category* const kCategories[] = {&std::generic_category(), &std::system_category(),
                                                  &std::future_category(), &std::iostream_category(),
                                                  &error_category()};

bool put_code(Bytes& out, std::uint32_t kind, const std::error_code& code) {
  const auto* const known = std::ranges::find(kCategories, &code.category());
  if (known == std::end(kCategories)) return false;
  put(out, kind);
  put(out, static_cast<std::uint32_t>(known - std::begin(kCategories)));
  put(out, static_cast<std::uint32_t>(code.value()));
  return true;
}
std::error_code get_code(ByteReader& reader) {
  const std::uint32_t category = get_number(reader);
  if (category >= std::size(kCategories)) throw DecodeError("an unknown category of errors");
  return {static_cast<int>(get_number(reader)), *kCategories[category]};
}

// Appends all of a standard exception but its what(); false if it cannot travel.
bool put_kind(Bytes& out, const std::exception& exception) {
  const std::type_info& type = type_to_carry(exception);
  for (std::uint32_t i = 0; i < std::size(kCarriers); ++i) {
    if (*kCarriers[i].type != type) continue;
    put(out, i);
    return true;
  }
  if (type == typeid(std::regex_error)) {
    put(out, kRegexError);
    put(out, static_cast<std::uint32_t>(dynamic_cast<const std::regex_error&>(exception).code()));
    return true;
  }
  if (type == typeid(std::future_error)) {
    put(out, kFutureError);
    put(out, static_cast<std::uint32_t>(dynamic_cast<const std::future_error&>(exception).code().value()));
    return true;
  }
  const auto* const error = dynamic_cast<const std::system_error*>(&exception);
  if (error == nullptr) return false;
  if (type == typeid(std::system_error)) return put_code(out, kSystemError, error->code());
  if (type == typeid(std::ios_base::failure)) return put_code(out, kStreamFailure, error->code());
  if (type != typeid(std::filesystem::filesystem_error)) return false;
  if (!put_code(out, kFilesystemError, error->code())) return false;
  const auto& file = dynamic_cast<const std::filesystem::filesystem_error&>(exception);
  put(out, std::string_view(file.path1().native()).substr(0, kMaxName));
  put(out, std::string_view(file.path2().native()).substr(0, kMaxName));
  return true;
}

// What an exception with a code was given, from its text, to which it appends the code's message.
std::string without_message(std::string what, const std::error_code& code) {
  const std::string suffix = ": " + code.message();
  if (what.ends_with(suffix)) what.resize(what.size() - suffix.size());
  return what;
}

// Beside a failure's code: the function had certainly not begun.
constexpr std::uint32_t kNotRun = std::uint32_t{1} << 31;

template <class E>
Error thrown_by_function(const E& exception) {
  return {std::make_exception_ptr(exception), exception.what()};
}

}  // namespace

void encode_current_exception(Bytes& out, std::size_t limit) {
  const std::size_t end = out.size() + limit;
  // Last, in the room that is left.
  const auto put_what = [&](std::string_view what) {
    put(out, what.substr(0, end - out.size() - sizeof(std::uint32_t)));
  };
  const auto put_foreign = [&](std::string_view what) {
    put(out, kForeign);
    put(out, std::string_view(current_type_name()).substr(0, kMaxName));
    put_what(what);
  };
  try {
    throw;
  } catch (const std::exception& exception) {
    if (put_kind(out, exception)) {
      put_what(exception.what());
    } else {
      put_foreign(exception.what());
    }
  } catch (...) {
    put_foreign({});
  }
}

Error decode_exception(std::string_view function, std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const std::uint32_t kind = get_number(reader);
  if (kind < std::size(kCarriers)) {
    const std::string what = get_text(reader);
    return {kCarriers[kind].make(what), what};
  }
  switch (kind) {
    case kRegexError: {
      const std::uint32_t code = get_number(reader);
      if (code > kHighestRegexCode) throw DecodeError("an unknown code of regular expressions");
      return thrown_by_function(
          WithWhat<std::regex_error>(get_text(reader), static_cast<std::regex_constants::error_type>(code)));
    }
    case kFutureError: return thrown_by_function(std::future_error(static_cast<std::future_errc>(get_number(reader))));
    case kFilesystemError: {
      const std::error_code code = get_code(reader);
      const std::string path1 = get_text(reader, kMaxName);
      const std::string path2 = get_text(reader, kMaxName);
      return thrown_by_function(
          WithWhat<std::filesystem::filesystem_error>(get_text(reader), std::string(), path1, path2, code));
    }
    case kStreamFailure: {
      const std::error_code code = get_code(reader);
      return thrown_by_function(std::ios_base::failure(without_message(get_text(reader), code), code));
    }
    case kSystemError: {
      const std::error_code code = get_code(reader);
      const std::string what = get_text(reader);
      return thrown_by_function(what == code.message() ? std::system_error(code)
                                                       : std::system_error(code, without_message(what, code)));
    }
    case kForeign: {
      std::string message = std::string(function) + " threw " + get_text(reader, kMaxName);
      const std::string what = get_text(reader);
      if (!what.empty()) message += ": " + what;
      return {Errc::remote_exception, std::move(message)};
    }
    default: throw DecodeError("an unknown kind of exception");
  }
}

void encode_failure(Bytes& out, Errc code, std::string_view message, bool may_have_run) {
  put(out, static_cast<std::uint32_t>(code) | (may_have_run ? 0U : kNotRun));
  put(out, message.substr(0, report_limit(0) - kFailureOverhead));
}

Error decode_failure(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const std::uint32_t number = get_number(reader);
  const std::uint32_t code = number & ~kNotRun;
  if (code < static_cast<std::uint32_t>(Errc::not_started) || code > static_cast<std::uint32_t>(Errc::unsupported)) {
    throw DecodeError("an unknown error code");
  }
  const Error failure(static_cast<Errc>(code), get_text(reader, report_limit(0)));
  return (number & kNotRun) == 0 ? failure : Access::not_run(failure);
}

}  // namespace leasepool::detail
