// Arguments and results on their way to another process: converted to the parameter types, encoded, and back.
#include <algorithm>
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "shared/registry.hpp"

namespace encoding_cases {

enum class Colour : std::uint8_t { red = 1, green = 200 };

struct Point {
  int x = 0;
  double y = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(x, y);
  }
  bool operator==(const Point&) const = default;
};

// Neither of these has anything to send; the first has no serialize() either.
struct Tag {
  auto operator<=>(const Tag&) const = default;
};
struct Shape {
  Shape() = default;
  Shape(const Shape&) = default;
  Shape& operator=(const Shape&) = default;
  virtual ~Shape() = default;
  template <class Archive>
  void serialize(Archive&) {}
};

// With save and load outside of the class.
struct Tagged {
  std::string tag;
  std::vector<Point> points;
  bool operator==(const Tagged&) const = default;
};
template <class Archive>
void save(Archive& archive, const Tagged& value) {
  archive(value.tag, value.points);
}
template <class Archive>
void load(Archive& archive, Tagged& value) {
  archive(value.tag, value.points);
}

struct OnlyMoves {
  OnlyMoves() = default;
  explicit OnlyMoves(int number) : value(std::make_unique<int>(number)) {}
  std::unique_ptr<int> value;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(value);
  }
};

std::uint64_t twice(std::uint64_t value) { return 2 * value; }
std::string text_and_number(const std::string& text, int number, bool flag) {
  return text + " " + std::to_string(number) + (flag ? " yes" : " no");
}
double mean(const std::vector<double>& values, float weight) {
  double sum = 0;
  for (const double value : values) sum += value;
  return static_cast<double>(weight) * sum;
}
std::unique_ptr<int> boxed(int value) { return std::make_unique<int>(value); }
OnlyMoves moved(OnlyMoves value) { return value; }
int taken(std::unique_ptr<int>&& value) { return *value; }
const std::string& by_reference(const std::string& text) {
  static std::string kept;
  return kept = text;
}
int stoppable(std::stop_token token, int value) { return token.stop_possible() ? -1 : value; }
int careful(int value) noexcept { return value + 1; }
struct Marked : Point {
  std::string mark;
};
double norm(const Point& point, const std::vector<std::string>& texts, std::string&& text, std::optional<int> perhaps) {
  return point.x + static_cast<double>(texts.size() + text.size()) + perhaps.value_or(0);
}

}  // namespace encoding_cases

LEASEPOOL_REGISTER(encoding_cases::twice);
LEASEPOOL_REGISTER(encoding_cases::text_and_number);
LEASEPOOL_REGISTER(encoding_cases::mean);
LEASEPOOL_REGISTER(encoding_cases::boxed);
LEASEPOOL_REGISTER(encoding_cases::moved);
LEASEPOOL_REGISTER(encoding_cases::taken);
LEASEPOOL_REGISTER(encoding_cases::by_reference);
LEASEPOOL_REGISTER(encoding_cases::stoppable);
LEASEPOOL_REGISTER(encoding_cases::careful);
LEASEPOOL_REGISTER(encoding_cases::norm);

using namespace encoding_cases;
using namespace leasepool;
using leasepool::detail::ByteReader;
using leasepool::detail::Bytes;
using leasepool::detail::ByteWriter;
using leasepool::detail::decode;
using leasepool::detail::DecodeError;
using leasepool::detail::DescriptorReader;
using leasepool::detail::DescriptorWriter;
using leasepool::detail::encode;
using leasepool::detail::EncodingArchive;
using leasepool::test::Call;
using leasepool::test::make_test_job;

namespace {

// What a value is after it went to another process.
template <class T>
T there_and_back(const T& value) {
  Bytes bytes;
  ByteWriter writer(bytes, SIZE_MAX);
  detail::DescriptorWriter none_out;
  detail::encode(writer, none_out, value);
  REQUIRE(writer.written() == bytes.size());
  ByteReader reader(bytes.view());
  detail::DescriptorReader none_in({});
  T result{};
  detail::decode(reader, none_in, result);
  return result;
}

// Whether a T is in what somebody else sent: a length, and bytes after it.
template <class T>
bool decodes(std::uint64_t length, std::size_t bytes_after) {
  Bytes bytes;
  bytes.append(&length, sizeof length);
  for (std::size_t i = 0; i < bytes_after; ++i) bytes.append("", 1);
  ByteReader reader(bytes.view());
  detail::DescriptorReader none({});
  T result{};
  try {
    detail::decode(reader, none, result);
  } catch (const detail::DecodeError&) {
    return false;
  }
  return true;
}

// What a worker does with a call, without the worker.
template <class F, class... A>
auto call_through_bytes(F function, A&&... arguments) {
  std::shared_ptr<Call<detail::CallResult<F, A...>>> call;
  auto job = make_test_job(call, function, std::forward<A>(arguments)...);
  Bytes sent;
  detail::Descriptors sent_beside;
  const Result<detail::FunctionId> id = job->encode(sent, sent_beside, SIZE_MAX);
  REQUIRE(id.has_value());
  Bytes returned;
  ByteWriter writer(returned, SIZE_MAX);
  detail::DescriptorWriter returned_beside;
  detail::Invocation invocation{
      .arguments = sent.view(), .descriptors = sent_beside, .result = &writer, .result_descriptors = &returned_beside};
  detail::find_function_by_id(*id)->invoke.load()(invocation);
  CHECK(invocation.phase == detail::CallPhase::encoding);
  auto descriptors = returned_beside.take();
  job->accept(returned.view(), descriptors, {});
  job->deliver();
  REQUIRE(call->succeeded());
  return std::move(**call->result);
}

}  // namespace

TEST_CASE("values of every kind that is carried come back equal", "[encoding]") {
  CHECK(there_and_back(std::numeric_limits<std::int64_t>::min()) == std::numeric_limits<std::int64_t>::min());
  CHECK(there_and_back(std::numeric_limits<double>::infinity()) == std::numeric_limits<double>::infinity());
  CHECK(there_and_back(true));
  CHECK(there_and_back('x') == 'x');
  CHECK(there_and_back(Colour::green) == Colour::green);
  CHECK(there_and_back(std::string("with a \0 inside", 15)) == std::string("with a \0 inside", 15));
  CHECK(there_and_back(std::u32string(U"\U0001F600")) == U"\U0001F600");
  CHECK(there_and_back(std::chrono::nanoseconds(-5)) == std::chrono::nanoseconds(-5));
  CHECK(there_and_back(std::complex<double>(1, -2)) == std::complex<double>(1, -2));
  CHECK(there_and_back(std::bitset<70>(5)) == std::bitset<70>(5));
  CHECK(there_and_back(std::array<int, 3>{1, 2, 3}) == std::array<int, 3>{1, 2, 3});
  CHECK(there_and_back(std::array<bool, 2>{true, false}) == std::array<bool, 2>{true, false});
  CHECK(there_and_back(std::vector<bool>{true, false, true}) == std::vector<bool>{true, false, true});
  CHECK(there_and_back(std::optional<int>()) == std::nullopt);
  CHECK(there_and_back(std::optional<std::string>("there")) == "there");
  CHECK(there_and_back(std::variant<int, std::string>("second")) == std::variant<int, std::string>("second"));
  CHECK(there_and_back(std::pair<int, std::string>(1, "one")) == std::pair<int, std::string>(1, "one"));
  CHECK(there_and_back(std::tuple<int, char, double>(1, 'c', 2.5)) == std::tuple<int, char, double>(1, 'c', 2.5));
  CHECK(there_and_back(Point{.x = 3, .y = 4.5}) == Point{.x = 3, .y = 4.5});
}

TEST_CASE("numbers alone have the bytes that an archive gives them, and are read with the same care", "[encoding]") {
  Bytes bytes;
  DescriptorWriter none;
  ByteWriter writer(bytes, 1000);
  encode(writer, none, std::uint64_t{7}, true, 2.5F, 'x');
  Bytes archived;
  ByteWriter beside(archived, 1000);
  EncodingArchive archive(beside, none);
  archive(std::uint64_t{7}, true, 2.5F, 'x');
  CHECK(std::ranges::equal(bytes.view(), archived.view()));

  bytes.data()[sizeof(std::uint64_t)] = std::byte{0x80};  // no bool that a compiler would make
  const auto read = [&](std::size_t size) {
    std::tuple<std::uint64_t, bool, float, char> values;
    ByteReader reader(bytes.view().first(size));
    DescriptorReader no_descriptors({});
    std::apply([&](auto&... value) { decode(reader, no_descriptors, value...); }, values);
    return values;
  };
  CHECK(read(bytes.size()) == std::tuple(std::uint64_t{7}, true, 2.5F, 'x'));
  CHECK_THROWS_AS(read(bytes.size() - 1), DecodeError);
  bytes.append(std::as_bytes(std::span("y", 1)));
  CHECK_THROWS_AS(read(bytes.size()), DecodeError);
}

TEST_CASE("containers come back equal, whatever they hold", "[encoding]") {
  const std::map<std::string, std::vector<std::optional<Point>>> nested{
      {"", {}}, {"a", {Point{.x = 1, .y = 2}, std::nullopt}}, {"b", {std::nullopt}}};
  CHECK(there_and_back(nested) == nested);
  const std::vector<std::vector<std::vector<std::string>>> deep{{{"a"}, {}}, {}, {{"b", "c"}}};
  CHECK(there_and_back(deep) == deep);
  const Tagged tagged{.tag = "points", .points = {{.x = 1, .y = 1}, {.x = 2, .y = 2}}};
  CHECK(there_and_back(std::vector{tagged, tagged}) == std::vector{tagged, tagged});
  CHECK(there_and_back(std::list<int>{1, 2}) == std::list<int>{1, 2});
  CHECK(there_and_back(std::deque<std::string>{"a", "b"}) == std::deque<std::string>{"a", "b"});
  CHECK(there_and_back(std::set<int>{3, 1}) == std::set<int>{1, 3});
  CHECK(there_and_back(std::multiset<int>{1, 1}).count(1) == 2);
  CHECK(there_and_back(std::unordered_set<std::string>{"a", "b"}) == std::unordered_set<std::string>{"a", "b"});
  CHECK(there_and_back(std::unordered_map<int, Colour>{{1, Colour::red}}).at(1) == Colour::red);
  CHECK(there_and_back(std::multimap<int, int>{{1, 2}, {1, 3}}).count(1) == 2);
  CHECK(*there_and_back(std::shared_ptr<int>(new int(7))) == 7);
}

TEST_CASE("an array of no elements comes back, and what follows it", "[encoding]") {
  CHECK(there_and_back(std::pair<std::array<int, 0>, int>({}, 7)) == std::pair<std::array<int, 0>, int>({}, 7));
  CHECK(there_and_back(std::pair<std::array<bool, 0>, int>({}, 7)).second == 7);
  CHECK(there_and_back(std::pair<std::array<std::string, 0>, int>({}, 7)).second == 7);
}

TEST_CASE("elements that have nothing to send come back in their number", "[encoding]") {
  CHECK(there_and_back(std::vector<Tag>(3)).size() == 3);
  CHECK(there_and_back(std::vector<Shape>(3)).size() == 3);
  CHECK(there_and_back(std::vector<std::monostate>(3)).size() == 3);
  CHECK(there_and_back(std::vector<std::pair<Tag, Tag>>(3)).size() == 3);
  CHECK(there_and_back(std::vector<std::array<Tag, 2>>(3)).size() == 3);
  CHECK(there_and_back(std::vector<std::array<int, 0>>(3)).size() == 3);
  CHECK(there_and_back(std::deque<std::tuple<>>(3)).size() == 3);
  CHECK(there_and_back(std::list<std::tuple<std::tuple<>>>(3)).size() == 3);
  CHECK(there_and_back(std::set<std::tuple<>>{{}}).size() == 1);
  CHECK(there_and_back(std::multiset<Tag>{{}, {}}).size() == 2);
  CHECK(there_and_back(std::unordered_multiset<std::monostate>{{}, {}}).size() == 2);
  CHECK(there_and_back(std::map<Tag, Tag>{{}}).size() == 1);
  CHECK(there_and_back(std::multimap<Tag, std::string>{{{}, ""}, {{}, "b"}}).size() == 2);
  CHECK(there_and_back(std::vector<std::vector<Tag>>{{}, {{}, {}}, {}}).at(1).size() == 2);
  CHECK(there_and_back(std::pair<std::vector<Tag>, Point>({{}, {}}, {.x = 3, .y = 4.5})).second.x == 3);
}

TEST_CASE("a length that cannot be true is refused, also where elements have nothing to send", "[encoding][hostile]") {
  CHECK(decodes<std::vector<Tag>>(3, 3));
  CHECK_FALSE(decodes<std::vector<Tag>>(3, 2));
  CHECK_FALSE(decodes<std::vector<Tag>>(3, 4));
  CHECK_FALSE(decodes<std::vector<Tag>>(std::uint64_t{1} << 60, 1000));
  CHECK_FALSE(decodes<std::vector<Shape>>(std::uint64_t{1} << 60, 1000));
  CHECK_FALSE(decodes<std::deque<std::monostate>>(3, 2));
  CHECK_FALSE(decodes<std::list<std::pair<Tag, Tag>>>(3, 5));
  CHECK_FALSE(decodes<std::set<std::tuple<>>>(std::uint64_t{1} << 60, 1000));
  CHECK_FALSE(decodes<std::unordered_multiset<std::monostate>>(std::uint64_t{1} << 60, 1000));
  CHECK_FALSE(decodes<std::multimap<Tag, Tag>>(std::uint64_t{1} << 60, 1000));
}

TEST_CASE("arguments become the parameter types before they are encoded", "[encoding]") {
  CHECK(call_through_bytes(twice, 20'000) == 40'000);
  CHECK(call_through_bytes(twice, short{-1}) == std::numeric_limits<std::uint64_t>::max() - 1);
  CHECK(call_through_bytes(twice, 2.9) == 4);
  CHECK(call_through_bytes(text_and_number, "text", 'A', 1) == "text 65 yes");
  CHECK(call_through_bytes(text_and_number, std::string("text"), 5L, nullptr != nullptr) == "text 5 no");
  CHECK(call_through_bytes(mean, std::vector<double>{1, 2, 3}, 2) == 12);
  const int number = 41;
  CHECK(call_through_bytes(careful, number) == 42);
}

TEST_CASE("what can only be moved goes through", "[encoding]") {
  CHECK(*call_through_bytes(boxed, 5) == 5);
  CHECK(*call_through_bytes(moved, OnlyMoves(6)).value == 6);
  CHECK(call_through_bytes(moved, OnlyMoves()).value == nullptr);
  CHECK(call_through_bytes(taken, std::make_unique<int>(7)) == 7);
}

TEST_CASE("a result by reference comes back as a value", "[encoding]") {
  CHECK(call_through_bytes(by_reference, "kept") == "kept");
}

TEST_CASE("a leading stop token is not sent", "[encoding]") { CHECK(call_through_bytes(stoppable, 5) == 5); }

TEST_CASE("arguments live in the job until it is gone", "[encoding]") {
  std::shared_ptr<Call<std::string>> call;
  std::unique_ptr<detail::Job> job;
  {
    std::string text = "a text that is too long for the small string optimization";
    job = make_test_job(call, text_and_number, text, 1, true);
    text.assign(text.size(), '-');
  }
  job->run();
  job->deliver();
  CHECK(call->result->value() == "a text that is too long for the small string optimization 1 yes");
}

TEST_CASE("encoding can be repeated and gives the same bytes", "[encoding]") {
  std::shared_ptr<Call<std::string>> call;
  const auto job = make_test_job(call, text_and_number, "text", 1, true);
  Bytes first;
  Bytes second;
  detail::Descriptors none;
  REQUIRE(job->encode(first, none, SIZE_MAX).has_value());
  REQUIRE(job->encode(second, none, SIZE_MAX).has_value());
  CHECK(std::ranges::equal(first.view(), second.view()));
}

TEST_CASE("arguments over the limit are refused with their size and the limit", "[encoding][W8]") {
  std::shared_ptr<Call<std::uint64_t>> call;
  const auto job = make_test_job(call, pool_functions::length_of, std::string(1000, 'x'));
  Bytes bytes;
  detail::Descriptors none;
  const auto exact = job->encode(bytes, none, 1008);  // 8 bytes are its length
  CHECK(exact.has_value());
  CHECK(bytes.size() == 1008);
  Bytes refused;
  const auto over = job->encode(refused, none, 1007);
  REQUIRE_FALSE(over.has_value());
  CHECK(over.error().code() == Errc::payload_too_large);
  CHECK_THAT(over.error().message(), ContainsSubstring("pool_functions::length_of") && ContainsSubstring("1008") &&
                                         ContainsSubstring("1007") && ContainsSubstring("max_payload"));
  CHECK(refused.size() <= 1007);
}

TEST_CASE("what is kept is encoded as the parameters' types, as often as a worker is sent it", "[encoding]") {
  Marked marked;
  marked.x = 1;
  const std::vector<std::string> texts{"a", "b"};
  CHECK(call_through_bytes(norm, marked, texts, "four", 10) == 17.0);
  CHECK(call_through_bytes(norm, std::cref(marked), std::cref(texts), std::string("four"), std::nullopt) == 7.0);

  std::shared_ptr<Call<double>> call;
  const auto job = make_test_job(call, norm, std::move(marked), texts, "four", 10);
  std::vector<Bytes> sent(3);
  for (Bytes& bytes : sent) {
    detail::Descriptors none;
    REQUIRE(job->encode(bytes, none, SIZE_MAX).has_value());
  }
  CHECK(std::ranges::equal(sent[0].view(), sent[1].view()));
  CHECK(std::ranges::equal(sent[0].view(), sent[2].view()));
}
