// What decoding takes at most: memory, counted as it is made, and stack, whatever the types are.
#include "leasepool/detail/decode_limits.hpp"

#include <pthread.h>
#include <ucontext.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "leasepool/detail/nesting.hpp"
#include "leasepool/detail/serialize.hpp"
#include "support/sanitized.hpp"

using namespace leasepool::detail;

namespace {

template <class T>
Bytes encoded(const T& value) {
  Bytes bytes;
  ByteWriter writer(bytes, SIZE_MAX);
  DescriptorWriter none;
  encode(writer, none, value);
  return bytes;
}

template <class T>
T decoded(const Bytes& bytes, const DecodeLimits& limits = {}) {
  ByteReader reader(bytes.view());
  DescriptorReader none({});
  T value{};
  decode_within(limits, reader, none, value);
  return value;
}

// That decoding it counts at least so many bytes, and less than four times as many.
template <class T>
void check_counts(const T& value, std::size_t least) {
  CAPTURE(type_name<T>(), least);
  const Bytes bytes = encoded(value);
  CHECK_THROWS_AS(decoded<T>(bytes, {.most_bytes = least - 1}), DecodedTooLarge);
  CHECK_NOTHROW(decoded<T>(bytes, {.most_bytes = 4 * least}));
}

template <class Container>
Container filled(std::size_t count) {
  Container made;
  for (std::size_t i = 0; i < count; ++i) made.insert(typename Container::value_type{});
  return made;
}
template <class Map>
Map numbered(std::size_t count) {
  Map made;
  for (std::size_t i = 0; i < count; ++i) made.insert({static_cast<int>(i), {}});
  return made;
}
template <class Set>
Set numbers(std::size_t count) {
  Set made;
  for (std::size_t i = 0; i < count; ++i) made.insert(static_cast<int>(i));
  return made;
}

// By recursion through whatever is between two levels.
template <template <class> class Link>
struct Nested {
  Link<Nested> next{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(next);
  }
};
template <class T>
using InVector = std::vector<T>;
template <class T>
using Owned = std::unique_ptr<T>;
template <class T>
using Shared = std::shared_ptr<T>;
template <class T>
using InList = std::list<T>;
template <class T>
using InMap = std::map<int, T>;
template <class T>
using InVariant = std::vector<std::variant<int, T>>;

// The bytes of a level that has one more below it.
Bytes levels(const Bytes& one, std::size_t count) {
  Bytes bytes;
  for (std::size_t i = 0; i < count; ++i) bytes.append(one.view());
  return bytes;
}
template <class... T>
Bytes raw(T... values) {
  Bytes bytes;
  (bytes.append(&values, sizeof values), ...);
  return bytes;
}

// Leaves without reading where there is no next level by its own words.
struct ByItself {
  std::unique_ptr<ByItself> next;
  template <class Archive>
  void save(Archive& archive) const {
    archive(next ? 1 : 0);
    if (next) next->save(archive);
  }
  template <class Archive>
  void load(Archive& archive) {
    int more = 0;
    archive(more);
    if (more == 0) return;
    next = std::make_unique<ByItself>();
    next->load(archive);
  }
};

// Runs it on a thread with so much stack.
void run_with_stack(std::size_t size, std::function<void()> function) {
  pthread_attr_t attributes;
  REQUIRE(pthread_attr_init(&attributes) == 0);
  REQUIRE(pthread_attr_setstacksize(&attributes, size) == 0);
  pthread_t thread{};
  const auto run = [](void* given) -> void* {
    (*static_cast<std::function<void()>*>(given))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, run, &function) == 0);
  REQUIRE(pthread_join(thread, nullptr) == 0);
  pthread_attr_destroy(&attributes);
}

}  // namespace

TEST_CASE("what a value has beside itself is counted when it is decoded", "[decode_limits][W10]") {
  constexpr std::size_t kCount = 1000;
  using Text = std::optional<std::string>;
  check_counts(std::vector<Text>(kCount), kCount * sizeof(Text));
  check_counts(std::deque<Text>(kCount), kCount * sizeof(Text));
  check_counts(std::vector<std::deque<char>>(kCount), kCount * 576);
  check_counts(std::list<char>(kCount), kCount * (sizeof(char) + 16));
  check_counts(std::vector<std::uint64_t>(kCount), kCount * sizeof(std::uint64_t));
  check_counts(std::string(kCount, 'x'), kCount);
  check_counts(std::u32string(kCount, U'x'), kCount * sizeof(char32_t));
  check_counts(std::vector<std::vector<int>>(kCount, std::vector<int>(5)), kCount * (sizeof(std::vector<int>) + 20));
  check_counts(numbers<std::set<int>>(kCount), kCount * 40);
  check_counts(filled<std::multiset<char>>(kCount), kCount * 40);
  check_counts(numbers<std::unordered_set<int>>(kCount), kCount * 16);
  check_counts(filled<std::unordered_multiset<char>>(kCount), kCount * 16);
  check_counts(numbered<std::map<int, char>>(kCount), kCount * 40);
  check_counts(numbered<std::multimap<int, Text>>(kCount), kCount * (sizeof(Text) + 40));
  check_counts(numbered<std::unordered_map<int, char>>(kCount), kCount * 16);
  std::vector<std::unique_ptr<std::array<char, 100>>> owned(kCount);
  for (auto& pointer : owned) pointer = std::make_unique<std::array<char, 100>>();
  check_counts(owned, kCount * (sizeof(void*) + 100));
  std::vector<std::shared_ptr<std::array<char, 100>>> shared(kCount);
  for (auto& pointer : shared) pointer = std::make_shared<std::array<char, 100>>();
  check_counts(shared, kCount * (sizeof(shared.front()) + 100));
}

TEST_CASE("pointers that own nothing of their own count as such", "[decode_limits][W10]") {
  constexpr std::size_t kCount = 1000;
  using Large = std::array<char, 10'000>;
  check_counts(std::vector<std::unique_ptr<Large>>(kCount), kCount * sizeof(void*));
  check_counts(std::vector<std::shared_ptr<Large>>(kCount), kCount * sizeof(std::shared_ptr<Large>));
  check_counts(std::vector<std::shared_ptr<Large>>(kCount, std::make_shared<Large>()),
               kCount * sizeof(std::shared_ptr<Large>) + sizeof(Large));
}

TEST_CASE("decoding that nobody waits for ends at the next element", "[decode_limits][W11]") {
  const std::atomic<bool> abandoned = true;
  const Bytes bytes = encoded(std::vector<std::string>(10, "text"));
  CHECK_THROWS_AS(decoded<std::vector<std::string>>(bytes, {.abandoned = &abandoned}), DecodingAbandoned);
}

TEST_CASE("values are nested as deeply as the stack allows, whatever they are nested in", "[decode_limits][W10]") {
  constexpr std::size_t kFew = 20;  // in a quarter of the smaller stack, under a sanitizer, too
  constexpr std::size_t kMany = 2'000'000;
  constexpr std::size_t kSmallStack = std::size_t{256} << 10;
  // ThreadSanitizer notes the 64 Ki frames that a thread is in at most, and does not look whether there are more.
  constexpr std::size_t kLargeStack = std::size_t{leasepool::test::kThreadSanitized ? 4 : 16} << 20;
  const auto check_nested = [&]<class T>(std::type_identity<T>, const Bytes& level, const Bytes& end) {
    CAPTURE(type_name<T>());
    for (const std::size_t size : {kSmallStack, kLargeStack}) {
      std::string said;
      bool few_decode = false;
      run_with_stack(size, [&] {
        Bytes few = levels(level, kFew);
        few.append(end.view());
        few_decode = (decoded<T>(few), true);
        try {
          (void)decoded<T>(levels(level, kMany));
        } catch (const std::exception& error) {
          said = error.what();
        }
      });
      CHECK(few_decode);
      CHECK_THAT(said, ContainsSubstring("nested too deeply"));
    }
  };
  const Bytes none = raw(std::uint64_t{0});
  const Bytes one = raw(std::uint64_t{1});
  check_nested(std::type_identity<Nested<InVector>>(), one, none);
  check_nested(std::type_identity<Nested<InList>>(), one, none);
  check_nested(std::type_identity<Nested<Owned>>(), raw(std::uint8_t{1}), raw(std::uint8_t{0}));
  check_nested(std::type_identity<Nested<InMap>>(), raw(std::uint64_t{1}, std::int32_t{7}), none);
  check_nested(std::type_identity<Nested<InVariant>>(), raw(std::uint64_t{1}, std::int32_t{1}), none);
  check_nested(std::type_identity<ByItself>(), raw(std::int32_t{1}), raw(std::int32_t{0}));
}

TEST_CASE("what is nested too deeply is not encoded either", "[decode_limits][W10]") {
  Nested<Owned> top;
  Nested<Owned>* last = &top;
  for (int i = 0; i < 1'000'000; ++i) {
    last->next = std::make_unique<Nested<Owned>>();
    last = last->next.get();
  }
  CHECK_THROWS_WITH(encoded(top), ContainsSubstring("nested too deeply"));
  while (top.next) top.next = std::exchange(top.next->next, nullptr);
}

// As that of a fiber.
TEST_CASE("a stack that the C library does not know is taken for a small one", "[decode_limits][W10]") {
  static std::size_t room;
  room = 0;
  std::vector<std::byte> stack(std::size_t{256} << 10);
  static ucontext_t here;
  ucontext_t fiber;
  REQUIRE(::getcontext(&fiber) == 0);
  fiber.uc_stack.ss_sp = stack.data();
  fiber.uc_stack.ss_size = stack.size();
  fiber.uc_link = &here;
  ::makecontext(&fiber, [] { room = room_for_nesting(); }, 0);
  REQUIRE(::swapcontext(&here, &fiber) == 0);
  CHECK(room > 0);
  CHECK(room <= std::size_t{64} << 10);
  CHECK(room_for_nesting() > std::size_t{1} << 20);
}
