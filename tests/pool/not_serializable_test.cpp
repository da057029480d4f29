// Calls of what cannot go to another process compile all the same, and say what to change.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"

namespace cases {

class Opaque {
 public:
  Opaque() = default;
  explicit Opaque(int value) : value_(value) {}
  [[nodiscard]] int value() const { return value_; }

 private:
  int value_ = 0;
};
struct HasOpaque {
  int number = 0;
  std::vector<Opaque> opaque{};
};
struct NoDefault {
  explicit NoDefault(int v) : value(v) {}
  int value;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value);
  }
};

int raw_pointer(const int* value) { return *value; }
int c_string(const char* text) { return *text; }
int view(std::string_view text) { return static_cast<int>(text.size()); }
int span(std::span<const int> values) { return static_cast<int>(values.size()); }
int opaque(const Opaque& value) { return value.value(); }
int opaque_vector(const std::vector<Opaque>& values) { return static_cast<int>(values.size()); }
int opaque_inside(const std::map<int, std::optional<Opaque>>& values) { return static_cast<int>(values.size()); }
int pointer_vector(const std::vector<int*>& values) { return static_cast<int>(values.size()); }
int no_default(NoDefault value) { return value.value; }
int changes(std::string& text) { return static_cast<int>((text += "!").size()); }
int callback(const std::function<int()>& function) { return function(); }
Opaque opaque_result(int value) { return Opaque(value); }
const char* c_string_result() { return "static"; }
std::unique_ptr<Opaque> opaque_box() { return std::make_unique<Opaque>(); }
int opaque_member(const HasOpaque& value) { return value.number; }
int not_registered(int value) { return value; }

}  // namespace cases

using namespace leasepool;
using leasepool::test::Call;
using leasepool::test::make_test_job;

namespace {

// Why a call cannot be encoded.
template <class F, class... A>
Error refusal(F&& function, A&&... arguments) {
  std::shared_ptr<Call<detail::CallResult<F, A...>>> call;
  const auto job = make_test_job(call, std::forward<F>(function), std::forward<A>(arguments)...);
  detail::Bytes bytes;
  detail::Descriptors none;
  auto id = job->encode(bytes, none, SIZE_MAX);
  REQUIRE_FALSE(id.has_value());
  return id.error();
}

void check_not_serializable(const Error& error, const std::string& function, const std::string& type,
                            const std::string& remedy) {
  CAPTURE(error.message());
  CHECK(error.code() == Errc::not_serializable);
  CHECK_THAT(error.message(), ContainsSubstring(function));
  CHECK_THAT(error.message(), ContainsSubstring(type));
  CHECK_THAT(error.message(), ContainsSubstring(remedy));
}

const std::string kOwn = "take an owning type such as std::string or std::vector";
const std::string kSerialize = "void serialize(Archive& archive)";

}  // namespace

TEST_CASE("types that only point at memory are refused, and an owning type is named", "[not_serializable]") {
  const int number = 1;
  check_not_serializable(refusal(cases::raw_pointer, &number), "cases::raw_pointer", "int", kOwn);
  check_not_serializable(refusal(cases::c_string, "text"), "cases::c_string", "char", kOwn);
  check_not_serializable(refusal(cases::view, "text"), "cases::view", "string_view", kOwn);
  check_not_serializable(refusal(cases::span, std::vector<int>{1}), "cases::span", "span", kOwn);
  check_not_serializable(refusal(cases::c_string_result), "cases::c_string_result", "char", kOwn);
}

TEST_CASE("classes without serialize() are refused, wherever they stand, and the line to add is given",
          "[not_serializable]") {
  check_not_serializable(refusal(cases::opaque, cases::Opaque{}), "cases::opaque", "cases::Opaque", kSerialize);
  check_not_serializable(refusal(cases::opaque_vector, std::vector<cases::Opaque>{}), "cases::opaque_vector",
                         "cases::Opaque", kSerialize);
  check_not_serializable(refusal(cases::opaque_inside, std::map<int, std::optional<cases::Opaque>>{}),
                         "cases::opaque_inside", "cases::Opaque", kSerialize);
  check_not_serializable(refusal(cases::opaque_result, 1), "cases::opaque_result", "cases::Opaque", kSerialize);
  check_not_serializable(refusal(cases::opaque_box), "cases::opaque_box", "cases::Opaque", kSerialize);
  check_not_serializable(refusal(cases::opaque_member, cases::HasOpaque{}), "cases::opaque_member",
                         "its type cases::Opaque cannot", kSerialize);
}

TEST_CASE("other types that cannot be rebuilt are refused by name", "[not_serializable]") {
  check_not_serializable(refusal(cases::no_default, cases::NoDefault(1)), "cases::no_default", "cases::NoDefault",
                         "default-constructible");
  check_not_serializable(refusal(cases::callback, [] { return 1; }), "cases::callback", "std::function", "");
  check_not_serializable(refusal(cases::pointer_vector, std::vector<int*>{}), "cases::pointer_vector", "its type int",
                         kOwn);
}

TEST_CASE("a parameter by non-const reference is refused, because its change could not come back",
          "[not_serializable]") {
  std::string text = "text";
  check_not_serializable(refusal(cases::changes, std::ref(text)), "cases::changes", "&",
                         "by value or by const reference");
}

TEST_CASE("what is not a registered function is refused with the line to add", "[not_serializable]") {
  const auto check_unregistered = [](const Error& error) {
    CAPTURE(error.message());
    CHECK(error.code() == Errc::unregistered_function);
    CHECK_THAT(error.message(), ContainsSubstring("LEASEPOOL_REGISTER"));
  };
  check_unregistered(refusal(cases::not_registered, 1));
  check_unregistered(refusal([](int value) { return value; }, 1));
  check_unregistered(refusal([kept = std::make_unique<int>(1)] { return *kept; }));
  check_unregistered(refusal(std::function<int(int)>(pool_functions::end_running), 1));
  check_unregistered(refusal(+[](int value) { return value; }, 1));
  const Error error = refusal([] {});
  CHECK_THAT(error.message(), ContainsSubstring("lambda"));
}

TEST_CASE("a function that is not registered is named by its symbol, with what may have dropped the line",
          "[not_serializable][names]") {
  const std::string message = refusal(cases::not_registered, 1).message();
  CHECK_THAT(message, ContainsSubstring("cannot run cases::not_registered(int): ") &&
                          ContainsSubstring("static library") && ContainsSubstring("--whole-archive"));
}

TEST_CASE("a process pool refuses such calls one by one and goes on", "[not_serializable][process]") {
  Loop loop;
  test::TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(cases::view, "text").error().code() == Errc::not_serializable);
  CHECK(pool.result_of([] { return 1; }).error().code() == Errc::unregistered_function);
  CHECK(pool.result_of(cases::opaque_result, 1).error().code() == Errc::not_serializable);
  const auto waiting = pool.call(cases::not_registered, 1);
  const auto good = pool.call(pool_functions::add, 1, 2);
  CHECK(pool.wait([&] { return good->ended(); }));
  CHECK(waiting->code() == Errc::unregistered_function);
  CHECK(good->result->value() == 3);
  CHECK(pool.totals->workers_crashed == 0);
}

TEST_CASE("the same functions run on threads", "[not_serializable][thread]") {
  Loop loop;
  test::TestPool pool(loop, ExecutorBackend::thread, 1);
  REQUIRE(pool.start().has_value());
  std::string text = "text";
  CHECK(pool.result_of(cases::changes, std::ref(text)).value() == 5);
  CHECK(text == "text!");
  CHECK(pool.result_of(cases::opaque_result, 3)->value() == 3);
  CHECK(pool.result_of(cases::not_registered, 4).value() == 4);
}
