// Exceptions on their way from a worker: standard ones come back as themselves, others by name, garbage not at all.
#include "shared/exception_codec.hpp"

#include <any>
#include <cstring>
#include <exception>
#include <expected>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <ios>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <regex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>
#include <variant>
#include <vector>
#include <version>
#ifdef __cpp_lib_format
#include <format>
#endif

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
struct OwnFailure : std::ios_base::failure {
  using failure::failure;
};
struct OwnNoValue : std::bad_expected_access<int> {
  using bad_expected_access::bad_expected_access;
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

template <class Thrown = std::system_error>
void check_system_error(const Thrown& thrown) {
  check_comes_back(thrown);
  try {
    through_bytes(thrown).raise();
  } catch (const Thrown& back) {
    CHECK(back.code() == thrown.code());
    CHECK(back.code().category() == thrown.code().category());
  }
}

// Has a handler for the type look at what a function throws, after its way through bytes.
template <class Caught, class F, class Look>
void check_caught(F function, Look look) {
  Bytes bytes;
  std::string what;
  try {
    function();
  } catch (const std::exception& thrown) {
    what = thrown.what();
    encode_current_exception(bytes, report_limit(SIZE_MAX));
  }
  const Error error = decode_exception("the_function", bytes.view());
  CAPTURE(what, error.message());
  CHECK(error.code() == Errc::remote_exception);
  CHECK(error.message() == what);
  try {
    error.raise();
  } catch (const Caught& back) {
    CHECK(std::string(back.what()) == what);
    look(back);
  } catch (const std::exception&) {
    FAIL("another type");
  }
}

void check_filesystem_error(const std::filesystem::filesystem_error& thrown) {
  check_caught<std::filesystem::filesystem_error>([&] { throw thrown; },
                                                  [&](const std::filesystem::filesystem_error& back) {
                                                    CHECK(back.code() == thrown.code());
                                                    CHECK(back.path1() == thrown.path1());
                                                    CHECK(back.path2() == thrown.path2());
                                                  });
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
  check_comes_back(std::exception());
  check_comes_back(std::bad_exception());
  check_comes_back(std::bad_any_cast());
  check_comes_back(std::future_error(std::future_errc::promise_already_satisfied));
#ifdef __cpp_lib_format
  check_comes_back(std::format_error("text"));
#endif
}

TEST_CASE("exceptions that only the standard library can give their text come back with it", "[exceptions][E1]") {
  check_caught<std::bad_variant_access>(
      [] { (void)std::get<1>(std::variant<int, std::string>(1)); },
      [](const std::bad_variant_access& back) { CHECK_THAT(back.what(), ContainsSubstring("wrong index")); });
  check_caught<std::regex_error>(
      [] { const std::regex pattern("("); },
      [](const std::regex_error& back) { CHECK(back.code() == std::regex_constants::error_paren); });
  check_caught<std::future_error>(
      [] {
        std::promise<int> promise;
        promise.set_value(1);
        promise.set_value(2);
      },
      [](const std::future_error& back) { CHECK(back.code() == std::future_errc::promise_already_satisfied); });
}

TEST_CASE("a failed stream's exception keeps its code and text", "[exceptions][E1]") {
  check_caught<std::ios_base::failure>(
      [] {
        std::ifstream file;
        file.exceptions(std::ios_base::failbit);
        file.open("/dev/null/none");
      },
      [](const std::ios_base::failure& back) { CHECK(back.code() == std::io_errc::stream); });
  check_system_error(std::ios_base::failure("text"));
  check_system_error(std::ios_base::failure(""));
  check_system_error(std::ios_base::failure("reading", std::make_error_code(std::errc::io_error)));
}

TEST_CASE("a filesystem_error keeps its code, text and paths", "[exceptions][E1]") {
  const std::error_code denied = std::make_error_code(std::errc::permission_denied);
  check_filesystem_error({"cannot", denied});
  check_filesystem_error({"", denied});
  check_filesystem_error({"cannot", "/a", denied});
  check_filesystem_error({"cannot", "/a", "/b \xff\n", denied});
  check_filesystem_error({"cannot", "", denied});
  check_filesystem_error({"cannot", "", "", denied});
  check_filesystem_error({"cannot: with colons: Permission denied", "/a", std::error_code()});
  check_caught<std::filesystem::filesystem_error>([] { (void)std::filesystem::file_size("/none/such"); },
                                                  [](const std::filesystem::filesystem_error& back) {
                                                    CHECK(back.path1() == "/none/such");
                                                    CHECK(back.code() == std::errc::no_such_file_or_directory);
                                                  });
}

TEST_CASE("an expected without a value comes back as the base of its exception", "[exceptions][E1]") {
  check_caught<std::bad_expected_access<void>>(
      [] { (void)std::expected<int, std::string>(std::unexpect, "error").value(); },
      [](const std::bad_expected_access<void>&) {});
}

TEST_CASE("a std::system_error keeps its code, category and text", "[exceptions][E1]") {
  check_system_error({ENOENT, std::generic_category(), "opening /etc/none"});
  check_system_error({ENOENT, std::system_category(), "opening: with colons"});
  check_system_error({EACCES, std::generic_category(), ""});
  check_system_error({EACCES, std::generic_category()});
  check_system_error(std::system_error(std::make_error_code(std::errc::timed_out)));
  check_system_error({0, std::generic_category(), "no error"});
  check_system_error({-1, std::generic_category(), "a negative code"});
  check_system_error(std::system_error(std::make_error_code(std::future_errc::no_state), "of futures"));
  check_system_error(std::system_error(std::make_error_code(std::io_errc::stream)));
  check_system_error(std::system_error(make_error_code(Errc::timed_out), "of ours"));
  // The text ends as the code's own does.
  check_system_error({ENOENT, std::generic_category(), "twice: No such file or directory"});
}

TEST_CASE("a system_error of a category that other processes do not know keeps its text", "[exceptions][E1]") {
  const std::system_error thrown(7, exception_cases::own_category, "doing");
  check_foreign(thrown, "std::system_error", "doing: own error 7");
  const std::filesystem::filesystem_error file("cannot", "/a", thrown.code());
  check_foreign(file, "std::filesystem::__cxx11::filesystem_error", file.what());
}

TEST_CASE("exceptions of the program's own are named", "[exceptions][E1]") {
  check_foreign(exception_cases::Own("broken"), "exception_cases::Own", "broken");
  check_foreign(exception_cases::Own(""), "exception_cases::Own", "");
  check_foreign(exception_cases::OwnSystemError(ENOENT, std::generic_category(), "x"),
                "exception_cases::OwnSystemError", "x: No such file or directory");
  check_foreign(exception_cases::OwnFailure("x"), "exception_cases::OwnFailure", "x: iostream error");
  check_foreign(exception_cases::OwnNoValue(1), "exception_cases::OwnNoValue", exception_cases::OwnNoValue(1).what());
}

TEST_CASE("an exception with another nested in it is named", "[exceptions][E1]") {
  Bytes bytes;
  try {
    std::throw_with_nested(std::runtime_error("outer"));
  } catch (...) {
    encode_current_exception(bytes, report_limit(0));
  }
  const Error error = decode_exception("f", bytes.view());
  CHECK(error.message() == "f threw std::_Nested_exception<std::runtime_error>: outer");
  CHECK_THROWS_AS(error.raise(), LeasePoolError);
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
    const std::filesystem::filesystem_error thrown(text, text, text,
                                                   std::make_error_code(std::errc::filename_too_long));
    const Error file = through_bytes(thrown, limit);
    CHECK_THROWS_AS(file.raise(), std::filesystem::filesystem_error);
    CHECK(file.message().starts_with("filesystem error: xxx"));
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
    Bytes before;
    encode_failure(before, code, "what failed", false);
    CHECK_FALSE(decode_failure(before.view()).may_have_run());
  }
  for (const Errc code : {Errc::payload_too_large, Errc::bad_payload}) {
    Bytes bytes;
    encode_failure(bytes, code, "what failed");
    CHECK(decode_failure(bytes.view()).may_have_run());
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
  // Of the kinds with a code: no such category, a code too few, a path too few, no such code.
  for (const std::uint32_t kind : {0xfffffffeU, 0xfffffffdU, 0xfffffffcU}) {
    CHECK_THROWS_AS(decode_exception("f", joined({number(kind), number(1000), number(1), number(0)})), DecodeError);
    CHECK_THROWS_AS(decode_exception("f", joined({number(kind), number(0)})), DecodeError);
    CHECK_THROWS_AS(decode_exception("f", joined({number(kind), number(0), number(1)})), DecodeError);
  }
  CHECK_THROWS_AS(decode_exception("f", joined({number(0xfffffffc), number(0), number(1), number(0), number(~0U)})),
                  DecodeError);
  CHECK_THROWS_AS(decode_exception("f", joined({number(0xfffffffa), number(1000), number(0)})), DecodeError);
  for (const std::uint32_t length : {4096U, 4097U}) {
    const std::vector<std::byte> path(length, std::byte{'/'});
    const auto error = joined({number(0xfffffffc), number(0), number(1), number(length), path, number(0), number(0)});
    if (length == 4096) {
      CHECK_NOTHROW(decode_exception("f", error));
    } else {
      CHECK_THROWS_AS(decode_exception("f", error), DecodeError);
    }
  }
  CHECK_THROWS_AS(decode_failure({}), DecodeError);
  CHECK_THROWS_AS(decode_failure(number(0)), DecodeError);
  CHECK_THROWS_AS(decode_failure(joined({number(0), number(0)})), DecodeError);
  CHECK_THROWS_AS(decode_failure(joined({number(1000), number(0)})), DecodeError);
  CHECK_THROWS_AS(decode_failure(joined({number(static_cast<std::uint32_t>(Errc::bad_payload)), number(5)})),
                  DecodeError);
}

TEST_CASE("random bytes are an exception or are refused, and nothing worse", "[exceptions][hostile][W7]") {
  std::mt19937 random(20250102);  // NOLINT(cert-msc51-cpp): the same bytes in every run
  int decoded = 0;
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> bytes(random() % 40);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 3 == 0 ? random() % 256 : 0);
    for (const bool failure : {false, true}) {
      try {
        const auto error = failure ? decode_failure(bytes) : decode_exception("f", bytes);
        if (!error.code()) FAIL("what was decoded in round " << round << " is no error");
        ++decoded;
      } catch (const DecodeError&) {  // anything else fails the test
        ++refused;
      }
    }
  }
  // Both ways were gone. What reads beside the bytes fails under AddressSanitizer alone.
  CHECK(decoded > 0);
  CHECK(refused > 0);
}
