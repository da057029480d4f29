// Exceptions on their way from a worker: standard ones come back as themselves, others by name, garbage not at all.
#include "pool/exception_codec.hpp"

#include <any>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <vector>

#include "catch.hpp"
#include "leasepool/error.hpp"

using namespace leasepool;
using leasepool::detail::Bytes;
using leasepool::detail::decode_exception;
using leasepool::detail::decode_failure;
using leasepool::detail::DecodeError;
using leasepool::detail::encode_current_exception;
using leasepool::detail::encode_failure;
using leasepool::detail::report_limit;

namespace exception_cases {

struct Own : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct OwnSystemError : std::system_error {
  using std::system_error::system_error;
};
struct NoException {};

class OwnCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "own"; }
  [[nodiscard]] std::string message(int code) const override { return "own error " + std::to_string(code); }
};
const OwnCategory own_category;

}  // namespace exception_cases

namespace {

template <class Thrown>
Error through_bytes(const Thrown& thrown, std::size_t limit = report_limit(SIZE_MAX)) {
  Bytes bytes;
  try {
    throw thrown;
  } catch (...) {
    encode_current_exception(bytes, limit);
  }
  CHECK(bytes.size() <= limit);
  return decode_exception("the_function", bytes.view());
}

// The very type, not one derived from it or above it.
template <class Thrown>
void check_comes_back(const Thrown& thrown) {
  const Error error = through_bytes(thrown);
  CAPTURE(typeid(Thrown).name(), thrown.what(), error.message());
  CHECK(error.code() == Errc::remote_exception);
  CHECK(error.message() == thrown.what());
  try {
    error.raise();
  } catch (const std::exception& back) {
    CHECK(typeid(back) == typeid(Thrown));
    CHECK(std::string(back.what()) == thrown.what());
  }
}

void check_system_error(const std::system_error& thrown) {
  check_comes_back(thrown);
  try {
    through_bytes(thrown).raise();
  } catch (const std::system_error& back) {
    CHECK(back.code() == thrown.code());
    CHECK(back.code().category() == thrown.code().category());
  }
}

template <class Thrown>
void check_foreign(const Thrown& thrown, const std::string& name, const std::string& what) {
  const Error error = through_bytes(thrown);
  CAPTURE(error.message());
  CHECK(error.code() == Errc::remote_exception);
  CHECK(error.message() == "the_function threw " + name + (what.empty() ? "" : ": " + what));
  CHECK_THROWS_AS(error.raise(), LeasePoolError);
}

}  // namespace

TEST_CASE("standard exceptions come back as the same type with the same text", "[exceptions][E1]") {
  for (const std::string text : {"", "text", "with: colons: and \n lines", "\xff\xfe"}) {
    check_comes_back(std::runtime_error(text));
    check_comes_back(std::logic_error(text));
    check_comes_back(std::invalid_argument(text));
    check_comes_back(std::domain_error(text));
    check_comes_back(std::length_error(text));
    check_comes_back(std::out_of_range(text));
    check_comes_back(std::range_error(text));
    check_comes_back(std::overflow_error(text));
    check_comes_back(std::underflow_error(text));
  }
  check_comes_back(std::bad_alloc());
  check_comes_back(std::bad_array_new_length());
  check_comes_back(std::bad_cast());
  check_comes_back(std::bad_typeid());
  check_comes_back(std::bad_function_call());
  check_comes_back(std::bad_weak_ptr());
  check_comes_back(std::bad_optional_access());
}

TEST_CASE("a std::system_error keeps its code, category and text", "[exceptions][E1]") {
  check_system_error({ENOENT, std::generic_category(), "opening /etc/none"});
  check_system_error({ENOENT, std::system_category(), "opening: with colons"});
  check_system_error({EACCES, std::generic_category(), ""});
  check_system_error({EACCES, std::generic_category()});
  check_system_error(std::system_error(std::make_error_code(std::errc::timed_out)));
  check_system_error({0, std::generic_category(), "no error"});
  check_system_error({-1, std::generic_category(), "a negative code"});
  // The text ends as the code's own does.
  check_system_error({ENOENT, std::generic_category(), "twice: No such file or directory"});
}

TEST_CASE("a system_error of a category that other processes do not know keeps its text", "[exceptions][E1]") {
  const std::system_error thrown(7, exception_cases::own_category, "doing");
  check_foreign(thrown, "std::system_error", "doing: own error 7");
}

TEST_CASE("exceptions of the program's own are named", "[exceptions][E1]") {
  check_foreign(exception_cases::Own("broken"), "exception_cases::Own", "broken");
  check_foreign(exception_cases::Own(""), "exception_cases::Own", "");
  check_foreign(exception_cases::OwnSystemError(ENOENT, std::generic_category(), "x"),
                "exception_cases::OwnSystemError", "x: No such file or directory");
  const std::filesystem::filesystem_error file("cannot", "/a", std::make_error_code(std::errc::permission_denied));
  CHECK_THAT(through_bytes(file).message(), ContainsSubstring("filesystem_error") && ContainsSubstring(file.what()));
}

TEST_CASE("what is thrown and is no std::exception is named by its type", "[exceptions][E1]") {
  check_foreign(42, "int", "");
  check_foreign(std::string("text"), "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >",
                "");
  check_foreign(exception_cases::NoException{}, "exception_cases::NoException", "");
  check_foreign(static_cast<const char*>("text"), "char const*", "");
}

TEST_CASE("a text that is too long is cut, and the type stays", "[exceptions][E1]") {
  const std::string text(10'000'000, 'x');
  CHECK((through_bytes(std::runtime_error(text)).message() == text));
  for (const std::size_t limit : {report_limit(0), report_limit(1'000'000)}) {
    const Error standard = through_bytes(std::runtime_error(text), limit);
    CHECK_THROWS_AS(standard.raise(), std::runtime_error);
    CHECK(standard.message().size() > limit - 5000);
    CHECK(text.starts_with(standard.message()));
    const Error own = through_bytes(exception_cases::Own(text), limit);
    CHECK(own.code() == Errc::remote_exception);
    CHECK(own.message().starts_with("the_function threw exception_cases::Own: xxx"));
    // What is cut off may be the code's own text.
    const Error system = through_bytes(std::system_error(ENOENT, std::generic_category(), text), limit);
    try {
      system.raise();
    } catch (const std::system_error& back) {
      CHECK(back.code() == std::errc::no_such_file_or_directory);
    }
  }
}

TEST_CASE("a report always has room, and never takes without bound", "[exceptions]") {
  STATIC_REQUIRE(report_limit(0) == 65'536);
  STATIC_REQUIRE(report_limit(1'000'000) == 1'000'000);
  STATIC_REQUIRE(report_limit(SIZE_MAX) == std::size_t{1} << 30);
  Bytes bytes;
  encode_failure(bytes, Errc::bad_payload, std::string(1'000'000, 'x'));
  CHECK(bytes.size() <= report_limit(0));
  CHECK(decode_failure(bytes.view()).message().size() > 60'000);
}

TEST_CASE("failures keep their code and text", "[exceptions]") {
  for (const Errc code :
       {Errc::unregistered_function, Errc::not_serializable, Errc::payload_too_large, Errc::bad_payload}) {
    Bytes bytes;
    encode_failure(bytes, code, "what failed");
    const Error error = decode_failure(bytes.view());
    CHECK(error.code() == code);
    CHECK(error.message() == "what failed");
  }
}

TEST_CASE("bytes that are no exception are refused", "[exceptions][hostile][W7]") {
  const auto number = [](std::uint32_t value) {
    std::vector<std::byte> bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  };
  const auto joined = [](std::initializer_list<std::vector<std::byte>> parts) {
    std::vector<std::byte> bytes;
    for (const auto& part : parts) bytes.insert(bytes.end(), part.begin(), part.end());
    return bytes;
  };
  CHECK_THROWS_AS(decode_exception("f", {}), DecodeError);
  CHECK_THROWS_AS(decode_exception("f", number(0)), DecodeError);                                // no text
  CHECK_THROWS_AS(decode_exception("f", joined({number(0), number(~0U)})), DecodeError);         // a text of 4 GiB
  CHECK_THROWS_AS(decode_exception("f", joined({number(1000), number(0)})), DecodeError);        // no such kind
  CHECK_THROWS_AS(decode_exception("f", joined({number(0xfffffffe), number(0)})), DecodeError);  // no category
  CHECK_THROWS_AS(decode_exception("f", joined({number(0xffffffff), number(0)})), DecodeError);  // no type's name
  CHECK_THROWS_AS(decode_failure({}), DecodeError);
  CHECK_THROWS_AS(decode_failure(number(0)), DecodeError);
  CHECK_THROWS_AS(decode_failure(joined({number(0), number(0)})), DecodeError);
  CHECK_THROWS_AS(decode_failure(joined({number(1000), number(0)})), DecodeError);
  CHECK_THROWS_AS(decode_failure(joined({number(static_cast<std::uint32_t>(Errc::bad_payload)), number(5)})),
                  DecodeError);
}

TEST_CASE("random bytes are an exception or are refused, and nothing worse", "[exceptions][hostile][W7]") {
  std::mt19937 random(20250102);  // NOLINT(cert-msc51-cpp): the same bytes in every run
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> bytes(random() % 40);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 3 == 0 ? random() % 256 : 0);
    for (const bool failure : {false, true}) {
      try {
        (void)(failure ? decode_failure(bytes) : decode_exception("f", bytes));
      } catch (const DecodeError&) {
      }
    }
  }
  SUCCEED();
}
