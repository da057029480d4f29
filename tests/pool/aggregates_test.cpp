// Plain structs are encoded member by member, with cereal's own functions first, and decoded within bounds.
#include <algorithm>
#include <any>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "harness.hpp"
#include "leasepool/detail/serialize.hpp"

namespace aggregates {

enum class Colour : std::uint8_t { red, green };
struct Nothing {
  bool operator==(const Nothing&) const = default;
};
struct Point {
  int x = 0;
  double y = 0;
  bool operator==(const Point&) const = default;
};
struct Everything {
  std::string text;
  Point point;
  Nothing nothing;
  Colour colour = Colour::red;
  bool flag = false;
  int numbers[3] = {};
  Point points[2][2] = {};
  char name[200] = {};
  std::array<Point, 2> pair{};
  std::vector<Point> many;
  std::map<std::string, std::vector<Point>> by_name;
  std::optional<Point> perhaps;
  std::variant<int, Point> either;
  std::unique_ptr<Point> owned;
};
struct Tree {
  int value = 0;
  std::vector<Tree> children;
  bool operator==(const Tree&) const = default;
};
struct Chain {
  std::unique_ptr<Chain> next;
};

#define EIGHT(name) int name##0, name##1, name##2, name##3, name##4, name##5, name##6, name##7
struct Of32 {
  EIGHT(a);
  EIGHT(b);
  EIGHT(c);
  EIGHT(d);
  bool operator==(const Of32&) const = default;
};
struct Of64 {
  EIGHT(a);
  EIGHT(b);
  EIGHT(c);
  EIGHT(d);
  EIGHT(e);
  EIGHT(f);
  EIGHT(g);
  EIGHT(h);
  bool operator==(const Of64&) const = default;
};
struct Of65 : std::type_identity<int> {
  Of64 first;
  int last;
};
struct Longer {
  EIGHT(a);
  EIGHT(b);
  EIGHT(c);
  EIGHT(d);
  EIGHT(e);
  EIGHT(f);
  EIGHT(g);
  EIGHT(h);
  int i;
};
#undef EIGHT

// What its serialize() sends, and no more.
struct Partly {
  int sent = 0;
  int kept = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(sent);
  }
};
struct PartlyOutside {
  int sent = 0;
  int kept = 0;
};
template <class Archive>
void save(Archive& archive, const PartlyOutside& value) {
  archive(value.sent);
}
template <class Archive>
void load(Archive& archive, PartlyOutside& value) {
  archive(value.sent);
}
struct PartlyDeduced {
  Point sent;
  int kept = 0;
  template <class Archive>
  auto serialize(Archive& archive) {
    archive(sent);
    return 0;
  }
};
struct Both {
  Partly inside;
  PartlyOutside outside;
  PartlyDeduced deduced;
};

// What no binding is made of, or nothing is decoded into.
struct Base {
  int x = 0;
};
struct Derived : Base {
  int y = 0;
};
struct DerivedFromNothing : Nothing {
  int y = 0;
};
struct BitField {
  unsigned a : 3;
  int b;
};
struct WithUnion {
  int a;
  union {
    int b;
    float c;
  };
};
struct WithNamedUnion {
  union Either {
    int b;
    float c;
  } either;
  int a;
};
int global = 0;
struct Reference {
  int& number = global;
};
struct Constant {
  const int number = 1;
};
struct Mutex {
  std::mutex mutex;
};
struct Pointer {
  int number = 0;
  const char* text = nullptr;
};
struct Callback {
  std::function<void()> function;
};
struct Anything {
  int number = 0;
  std::any value;
};
class Hidden {
 public:
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_ = 0;
};

Everything echo(Everything value) { return value; }
Of64 count_up(Of32 value) {
  Of64 counted{};
  counted.a0 = value.a0 + 1;
  counted.h7 = value.d7 + 1;
  return counted;
}

}  // namespace aggregates

LEASEPOOL_REGISTER(aggregates::echo);
LEASEPOOL_REGISTER(aggregates::count_up);

namespace aggregate_cases {

using namespace aggregates;
using namespace leasepool;
using namespace leasepool::detail;

template <class T>
Bytes bytes_of(const T& value) {
  Bytes bytes;
  ByteWriter writer(bytes, SIZE_MAX);
  DescriptorWriter none;
  encode(writer, none, value);
  return bytes;
}
template <class T>
T value_of(std::span<const std::byte> bytes, const DecodeLimits& limits = {}) {
  ByteReader reader(bytes);
  DescriptorReader none({});
  T value{};
  decode_within(limits, reader, none, value);
  return value;
}
template <class T>
T there_and_back(const T& value) {
  return value_of<T>(bytes_of(value).view());
}

Everything everything() {
  Everything value{.text = "text",
                   .point = {.x = 1, .y = 2},
                   .nothing = {},
                   .colour = Colour::green,
                   .flag = true,
                   .numbers = {1, 2, 3},
                   .points = {{{.x = 1, .y = 1}, {.x = 2, .y = 2}}, {{.x = 3, .y = 3}, {.x = 4, .y = 4}}},
                   .name = "name",
                   .pair = {Point{.x = 5, .y = 5}, Point{.x = 6, .y = 6}},
                   .many = {{.x = 7, .y = 7}},
                   .by_name = {{"key", {{.x = 8, .y = 8}}}},
                   .perhaps = Point{.x = 9, .y = 9},
                   .either = Point{.x = 10, .y = 10},
                   .owned = std::make_unique<Point>(Point{.x = 11, .y = 11})};
  return value;
}
void check_everything(const Everything& value) {
  const Everything expected = everything();
  CHECK(value.text == expected.text);
  CHECK(value.point == expected.point);
  CHECK(value.colour == expected.colour);
  CHECK(value.flag);
  CHECK(std::ranges::equal(value.numbers, expected.numbers));
  CHECK(value.points[1][1].x == 4);
  CHECK(std::string(value.name) == "name");
  CHECK(value.pair == expected.pair);
  CHECK(value.many == expected.many);
  CHECK(value.by_name == expected.by_name);
  CHECK(value.perhaps == expected.perhaps);
  CHECK(value.either == expected.either);
  REQUIRE(value.owned != nullptr);
  CHECK(*value.owned == *expected.owned);
}

}  // namespace aggregate_cases

using namespace aggregate_cases;

TEST_CASE("a plain struct comes back equal, whatever its members are", "[encoding][aggregates]") {
  check_everything(there_and_back(everything()));
  CHECK(there_and_back(std::vector<Point>{{.x = 1, .y = 2}, {.x = 3, .y = 4}})[1] == Point{.x = 3, .y = 4});
  CHECK(there_and_back(std::vector<Nothing>(3)).size() == 3);
  const Tree tree{.value = 1, .children = {{.value = 2, .children = {{.value = 3, .children = {}}}}, {}}};
  CHECK(there_and_back(tree) == tree);
  Of64 many{};
  many.a0 = 1;
  many.h7 = 64;
  CHECK(there_and_back(many) == many);
}

TEST_CASE("a plain struct crosses to a worker process and back", "[encoding][aggregates][process]") {
  Loop loop;
  test::TestPool pool(loop, ExecutorBackend::process, 1);
  REQUIRE(pool.start().has_value());
  check_everything(pool.result_of(echo, everything()).value());
  Of32 sent{};
  sent.a0 = 1;
  sent.d7 = 2;
  const Result<Of64> counted = pool.result_of(count_up, sent);
  CHECK(counted->a0 == 2);
  CHECK(counted->h7 == 3);
}

TEST_CASE("functions for cereal come before members", "[encoding][aggregates]") {
  const Both back = there_and_back(Both{.inside = {.sent = 1, .kept = 2},
                                        .outside = {.sent = 3, .kept = 4},
                                        .deduced = {.sent = {.x = 5, .y = 0}, .kept = 6}});
  CHECK(back.inside.sent == 1);
  CHECK(back.inside.kept == 0);
  CHECK(back.outside.sent == 3);
  CHECK(back.outside.kept == 0);
  CHECK(back.deduced.sent.x == 5);
  CHECK(back.deduced.kept == 0);
}

TEST_CASE("a struct of numbers alone has the bytes that an archive gives it, and is read with the same care",
          "[encoding][aggregates]") {
  STATIC_REQUIRE(kNeedsNoArchive<Point, std::uint64_t>);
  STATIC_REQUIRE_FALSE(kNeedsNoArchive<Everything>);
  STATIC_REQUIRE_FALSE(kNeedsNoArchive<Nothing>);
  STATIC_REQUIRE_FALSE(kNeedsNoArchive<Both>);
  struct Flags {
    bool first = false;
    Point point;
  };
  const Flags flags{.first = true, .point = {.x = 1, .y = 2}};
  Bytes bytes = bytes_of(flags);
  Bytes archived;
  ByteWriter writer(archived, 1000);
  DescriptorWriter none;
  EncodingArchive archive(writer, none);
  archive(flags);
  CHECK(std::ranges::equal(bytes.view(), archived.view()));
  bytes.data()[0] = std::byte{0x80};  // no bool that a compiler would make
  CHECK(value_of<Flags>(bytes.view()).point == flags.point);
  CHECK_THROWS_AS(value_of<Flags>(bytes.view().first(bytes.size() - 1)), DecodeError);
  bytes.append("", 1);
  CHECK_THROWS_AS(value_of<Flags>(bytes.view()), DecodeError);
}

TEST_CASE("a struct that lacks bytes, or has too many, is refused", "[encoding][aggregates][hostile]") {
  Bytes bytes = bytes_of(everything());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    CHECK_THROWS_AS(value_of<Everything>(bytes.view().first(size)), DecodeError);
  }
  bytes.append("", 1);
  CHECK_THROWS_AS(value_of<Everything>(bytes.view()), DecodeError);
}

TEST_CASE("decoding structs takes no more memory and stack than it may", "[encoding][aggregates][decode_limits][W10]") {
  constexpr std::size_t kCount = 1000;
  const Bytes bytes = bytes_of(std::vector<Tree>(kCount));
  CHECK_THROWS_AS(value_of<std::vector<Tree>>(bytes.view(), {.most_bytes = kCount * sizeof(Tree) - 1}),
                  DecodedTooLarge);
  CHECK(value_of<std::vector<Tree>>(bytes.view(), {.most_bytes = kCount * sizeof(Tree)}).size() == kCount);
  const Bytes deep = [] {  // says a million times that there is a next one
    Bytes all;
    for (int i = 0; i < 1'000'000; ++i) all.append("\1", 1);
    return all;
  }();
  CHECK_THROWS_AS(value_of<Chain>(deep.view()), std::length_error);
}

TEST_CASE("structs that cannot be taken apart, or whose members cannot be sent, are refused by the type's name",
          "[encoding][aggregates][not_serializable]") {
  const auto refused = []<class T, class Because>(std::type_identity<T>, std::type_identity<Because>) {
    return std::is_same_v<FirstRefused<T>, Because>;
  };
  const auto itself = [&]<class T>(std::type_identity<T> type) { return refused(type, type); };
  CHECK(itself(std::type_identity<Derived>{}));
  CHECK(itself(std::type_identity<DerivedFromNothing>{}));
  CHECK(itself(std::type_identity<Longer>{}));
  CHECK(itself(std::type_identity<Of65>{}));
  CHECK(itself(std::type_identity<BitField>{}));
  CHECK(itself(std::type_identity<WithUnion>{}));
  CHECK(itself(std::type_identity<WithNamedUnion>{}));
  CHECK(itself(std::type_identity<Reference>{}));
  CHECK(itself(std::type_identity<Constant>{}));
  CHECK(itself(std::type_identity<Mutex>{}));
  CHECK(itself(std::type_identity<Hidden>{}));
  CHECK(refused(std::type_identity<Pointer>{}, std::type_identity<const char*>{}));
  CHECK(refused(std::type_identity<Callback>{}, std::type_identity<std::function<void()>>{}));
  CHECK(refused(std::type_identity<Anything>{}, std::type_identity<std::any>{}));
  CHECK(refused(std::type_identity<std::map<int, std::vector<Pointer>>>{}, std::type_identity<const char*>{}));
  CHECK(refused(std::type_identity<std::tuple<int, std::shared_ptr<Hidden>>>{}, std::type_identity<Hidden>{}));
  CHECK(refused(std::type_identity<Everything>{}, std::type_identity<void>{}));
  CHECK(refused(std::type_identity<Tree>{}, std::type_identity<void>{}));
  CHECK(refused(std::type_identity<Chain>{}, std::type_identity<void>{}));
}

TEST_CASE("calls on threads take structs of every kind", "[aggregates][thread]") {
  Loop loop;
  test::TestPool pool(loop, ExecutorBackend::thread, 1);
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of([](WithUnion value) { return value; }, WithUnion{.a = 3, .b = 4})->a == 3);
  CHECK(pool.result_of([](BitField value) { return value; }, BitField{.a = 3, .b = 4})->b == 4);
  CHECK(pool.result_of(+[](Pointer value) { return value; }, Pointer{.number = 5})->number == 5);
  CHECK(pool.result_of(+[](Derived value) { return value; }, Derived{})->y == 0);
}
