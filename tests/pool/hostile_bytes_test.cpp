// Bytes from a worker that lies: decoding ends with an error, within the bytes that came, and takes no more memory than
// they can stand for.
#include <algorithm>
#include <array>
#include <bitset>
#include <cstdint>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"

using namespace leasepool;
using leasepool::detail::ByteReader;
using leasepool::detail::Bytes;
using leasepool::detail::ByteWriter;
using leasepool::test::Call;
using leasepool::test::make_test_job;

namespace {

// What all counting allocators hold, and the most they have held since it was set to zero.
std::size_t allocated = 0;
std::size_t most_allocated = 0;

// Fails where a real allocator would start to use up the machine.
template <class T>
struct CountingAllocator {
  using value_type = T;
  CountingAllocator() = default;
  template <class U>
  CountingAllocator(const CountingAllocator<U>&) {}  // NOLINT(google-explicit-constructor): an allocator's rebind
  T* allocate(std::size_t count) {
    allocated += count * sizeof(T);
    most_allocated = std::max(most_allocated, allocated);
    if (count <= (std::size_t{1} << 30) / sizeof(T)) return std::allocator<T>().allocate(count);
    allocated -= count * sizeof(T);
    throw std::bad_alloc();
  }
  void deallocate(T* memory, std::size_t count) {
    allocated -= count * sizeof(T);
    std::allocator<T>().deallocate(memory, count);
  }
  bool operator==(const CountingAllocator&) const = default;
};

template <class T>
using Vector = std::vector<T, CountingAllocator<T>>;
using String = std::basic_string<char, std::char_traits<char>, CountingAllocator<char>>;
using WideString = std::basic_string<char32_t, std::char_traits<char32_t>, CountingAllocator<char32_t>>;

// 4 KiB that are encoded as 4 KiB.
struct Big {
  std::array<char, 4096> block{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(block);
  }
};

struct Flags {
  bool flags[2][2]{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(flags);
  }
};

struct Kin {
  std::shared_ptr<Kin> child;
  std::weak_ptr<Kin> parent;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(child, parent);
  }
};

// Numbers, each as its bytes.
template <class... N>
std::vector<std::byte> bytes_of(N... numbers) {
  std::vector<std::byte> bytes;
  const auto append = [&](auto number) {
    const std::size_t at = bytes.size();
    bytes.resize(at + sizeof number);
    std::memcpy(bytes.data() + at, &number, sizeof number);
  };
  (append(numbers), ...);
  return bytes;
}

template <class T>
T decoded(const std::vector<std::byte>& bytes) {
  ByteReader reader(bytes);
  detail::DescriptorReader none({});
  T value{};
  detail::decode(reader, none, value);
  return value;
}

template <class T>
std::vector<std::byte> encoded(const T& value) {
  Bytes bytes;
  ByteWriter writer(bytes, SIZE_MAX);
  detail::DescriptorWriter none;
  detail::encode(writer, none, value);
  return {bytes.view().begin(), bytes.view().end()};
}

template <class T>
T there_and_back(const T& value) {
  return decoded<T>(encoded(value));
}

// Refused with no more than that much memory, and what an empty value has: a deque has some before it has elements.
template <class T>
void check_refused(const std::vector<std::byte>& bytes, std::size_t most) {
  most_allocated = 0;
  (void)T();
  const std::size_t when_empty = most_allocated;
  CHECK_THROWS(decoded<T>(bytes));
  CHECK(most_allocated <= when_empty + most);
  CHECK(allocated == 0);
}

constexpr std::uint64_t kLengths[] = {std::uint64_t{1} << 60, std::uint64_t{1} << 61,
                                      std::numeric_limits<std::uint64_t>::max(), 1000, 9};

}  // namespace

TEST_CASE("a length that cannot be true allocates nothing", "[hostile][W7]") {
  for (const std::uint64_t length : kLengths) {
    CAPTURE(length);
    const std::vector<std::byte> bytes = bytes_of(length, std::uint64_t{0});
    check_refused<String>(bytes, 0);
    check_refused<WideString>(bytes, 0);
    check_refused<Vector<char>>(bytes, 0);
    check_refused<Vector<double>>(bytes, 0);
    check_refused<Vector<bool>>(bytes, 0);
    check_refused<Vector<String>>(bytes, 0);
    check_refused<std::deque<int, CountingAllocator<int>>>(bytes, 0);
    check_refused<std::list<int, CountingAllocator<int>>>(bytes, 0);
    check_refused<std::set<int, std::less<>, CountingAllocator<int>>>(bytes, 0);
    check_refused<std::map<int, int, std::less<>, CountingAllocator<std::pair<const int, int>>>>(bytes, 0);
    check_refused<std::unordered_set<int, std::hash<int>, std::equal_to<>, CountingAllocator<int>>>(bytes, 0);
    check_refused<
        std::unordered_map<int, int, std::hash<int>, std::equal_to<>, CountingAllocator<std::pair<const int, int>>>>(
        bytes, 0);
  }
}

TEST_CASE("a length inside of a container is no more believed than one at its front", "[hostile][W7]") {
  const std::vector<std::byte> bytes = bytes_of(std::uint64_t{1}, std::uint64_t{1} << 60);
  CHECK_THROWS_AS(decoded<std::vector<std::string>>(bytes), detail::DecodeError);
  CHECK_THROWS_AS((decoded<std::map<std::string, int>>(bytes)), detail::DecodeError);
  CHECK_THROWS_AS(decoded<std::vector<std::vector<std::vector<int>>>>(bytes), detail::DecodeError);
}

TEST_CASE("elements that are wider than the bytes they claim to have are not allocated", "[hostile][W7]") {
  // One byte for each element is there, as many as the length says, and each element needs more.
  std::vector<std::byte> bytes = bytes_of(std::uint64_t{100'000});
  bytes.resize(bytes.size() + 100'000);
  check_refused<Vector<double>>(bytes, 0);
  check_refused<WideString>(bytes, 0);
  // These grow with what is there: 24 elements and a part of one, and what the next step of growing takes.
  check_refused<Vector<Big>>(bytes, 3 * bytes.size());
  check_refused<std::deque<Big, CountingAllocator<Big>>>(bytes, 3 * bytes.size());
  check_refused<std::list<Big, CountingAllocator<Big>>>(bytes, 3 * bytes.size());
}

TEST_CASE("encoded bytes that were cut anywhere are refused", "[hostile][W7]") {
  const std::map<std::string, std::vector<std::optional<std::string>>> value{{"first", {"text", std::nullopt}},
                                                                             {"second", {std::string(100, 'x')}}};
  const std::vector<std::byte> whole = encoded(value);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK_THROWS(decoded<std::remove_const_t<decltype(value)>>({whole.data(), whole.data() + size}));
  }
  CHECK(decoded<std::remove_const_t<decltype(value)>>(whole) == value);
}

TEST_CASE("bytes behind the value are refused", "[hostile][W7]") {
  std::vector<std::byte> bytes = encoded(std::string("text"));
  bytes.push_back(std::byte{0});
  CHECK_THROWS_AS(decoded<std::string>(bytes), detail::DecodeError);
  CHECK_THROWS_AS(decoded<int>(bytes_of(1, 2)), detail::DecodeError);
}

TEST_CASE("any byte can stand where a bool is wanted", "[hostile][W7]") {
  for (int byte = 0; byte < 256; ++byte) {
    const auto raw = static_cast<unsigned char>(byte);
    const bool expected = byte != 0;
    CHECK(decoded<bool>(bytes_of(raw)) == expected);
    CHECK(decoded<std::vector<bool>>(bytes_of(std::uint64_t{1}, raw)) == std::vector<bool>{expected});
    // Compared as bytes, because a bool that is neither 0 nor 1 compares as it likes.
    const auto array = decoded<std::array<bool, 2>>(bytes_of(raw, std::uint8_t{0}));
    CHECK(std::memcmp(array.data(), expected ? "\1" : "\0", 2) == 0);
    const auto flags = decoded<Flags>(bytes_of(raw, std::uint8_t{0}, raw, std::uint8_t{1}));
    CHECK(std::memcmp(flags.flags, expected ? "\1\0\1\1" : "\0\0\0\1", 4) == 0);
  }
}

TEST_CASE("a variant's index out of range is refused", "[hostile][W7]") {
  using Variant = std::variant<int, std::string>;
  CHECK(decoded<Variant>(bytes_of(std::int32_t{0}, 7)) == Variant(7));
  CHECK_THROWS(decoded<Variant>(bytes_of(std::int32_t{2}, 7)));
  CHECK_THROWS(decoded<Variant>(bytes_of(std::int32_t{-1}, 7)));
}

TEST_CASE("a shared pointer that names one that never came is refused", "[hostile][W7]") {
  CHECK(decoded<std::shared_ptr<int>>(bytes_of(std::uint32_t{0})) == nullptr);
  CHECK_THROWS(decoded<std::shared_ptr<int>>(bytes_of(std::uint32_t{5})));
}

TEST_CASE("a shared object is what it came as, whoever says otherwise", "[hostile][W7][W10]") {
  constexpr std::uint32_t kFollows = 0x80000000;
  using Both = std::pair<std::shared_ptr<std::uint64_t>, std::shared_ptr<std::string>>;
  CHECK_THROWS_WITH(decoded<Both>(bytes_of(kFollows | 1, std::uint64_t{7}, std::uint32_t{1})),
                    ContainsSubstring("another type"));
  using Twice = std::vector<std::shared_ptr<std::uint64_t>>;
  constexpr std::uint64_t kTwo = 2;
  constexpr std::uint64_t kSeven = 7;
  const auto same = decoded<Twice>(bytes_of(kTwo, kFollows | 1, kSeven, std::uint32_t{1}));
  CHECK(*same[0] == kSeven);
  CHECK(same[0] == same[1]);
  CHECK(decoded<Twice>(bytes_of(kTwo, kFollows | 1, kSeven, kFollows | 2, kSeven)).size() == 2);
  CHECK_THROWS_WITH(decoded<Twice>(bytes_of(kTwo, kFollows | 1, kSeven, kFollows | 1, kSeven)),
                    ContainsSubstring("out of order"));
  CHECK_THROWS_WITH(decoded<Twice>(bytes_of(kTwo, kFollows | 2, kSeven, kFollows | 1, kSeven)),
                    ContainsSubstring("out of order"));
  CHECK_THROWS_WITH(decoded<Twice>(bytes_of(kTwo, kFollows | 1, kSeven, std::uint32_t{2})),
                    ContainsSubstring("has not come"));
}

TEST_CASE("a shared object may know what owns it, and not own itself", "[hostile][W7][W10]") {
  auto parent = std::make_shared<Kin>();
  parent->child = std::make_shared<Kin>();
  parent->child->parent = parent;
  const auto back = there_and_back(parent);
  REQUIRE(back->child != nullptr);
  CHECK(back->child->parent.lock() == back);
  parent->child->child = parent;
  CHECK_THROWS_WITH(there_and_back(parent), ContainsSubstring("let the way back be a std::weak_ptr"));
  parent->child->child.reset();
}

// Each object but the first owns the one before it, so that none is nested and all are destroyed from within the last.
TEST_CASE("a chain of references is as deep as its objects would be", "[hostile][W7][W10]") {
  const auto chain = [](std::size_t length) {
    std::vector<std::shared_ptr<Kin>> made(length);
    for (std::size_t i = 0; i < length; ++i) {
      made[i] = std::make_shared<Kin>();
      if (i != 0) made[i]->child = made[i - 1];
    }
    return made;
  };
  CHECK(there_and_back(chain(20)).back()->child->child != nullptr);
  constexpr std::size_t kMany = 1'000'000;
  auto many = chain(kMany);
  CHECK_THROWS_WITH(there_and_back(many), ContainsSubstring("nested too deeply"));
  while (!many.empty()) many.pop_back();  // from its owners on
}

TEST_CASE("random bytes decode to something or are refused, and nothing worse", "[hostile][W7]") {
  using Nested = std::map<std::string, std::variant<Vector<String>, std::optional<double>, std::bitset<12>>>;
  std::mt19937 random(20250101);  // NOLINT(cert-msc51-cpp): the same bytes in every run
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> bytes(random() % 80);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 4 == 0 ? random() % 256 : random() % 3);
    most_allocated = 0;
    try {
      (void)decoded<Nested>(bytes);
    } catch (const std::exception&) {
    }
    CHECK(most_allocated <= 4 * bytes.size() * sizeof(String));
  }
}

TEST_CASE("a result that does not decode is bad_payload, naming the function", "[hostile][W7]") {
  std::shared_ptr<Call<std::string>> call;
  const auto job = make_test_job(call, pool_functions::make_text, 1);
  job->accept(bytes_of(std::uint64_t{1} << 60), {}, {});
  job->deliver();
  CHECK(call->code() == Errc::bad_payload);
  CHECK_THAT(call->message(),
             ContainsSubstring("pool_functions::make_text") && ContainsSubstring("1152921504606846976"));
}

TEST_CASE("a result of a function that has none must be empty", "[hostile][W7]") {
  std::shared_ptr<Call<void>> call;
  const auto job = make_test_job(call, pool_functions::nothing);
  job->accept(bytes_of(1), {}, {});
  job->deliver();
  CHECK(call->code() == Errc::bad_payload);
}

TEST_CASE("a worker that gets arguments it cannot decode says so and runs nothing", "[hostile]") {
  const auto* const function = detail::find_function(reinterpret_cast<detail::FunctionAddress>(pool_functions::add));
  Bytes result;
  ByteWriter writer(result, SIZE_MAX);
  detail::DescriptorWriter none;
  for (const std::size_t size : {std::size_t{0}, std::size_t{15}, std::size_t{17}}) {
    const std::vector<std::byte> arguments(size);
    detail::Invocation invocation{.arguments = arguments, .result = &writer, .result_descriptors = &none};
    CHECK_THROWS_AS(function->invoke.load()(invocation), detail::DecodeError);
    CHECK(invocation.phase == detail::CallPhase::decoding);
  }
}
