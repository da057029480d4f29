// Results, exceptions and failures of a worker: values of many types, each decoded within limits.
#include <fcntl.h>

#include <array>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <variant>

#include "fuzz/input.hpp"
#include "fuzz/targets.hpp"
#include "leasepool/detail/bound_job.hpp"
#include "leasepool/detail/nesting.hpp"
#include "leasepool/shared_buffer.hpp"
#include "shared/exception_codec.hpp"
#include "shared/registry.hpp"

namespace leasepool::fuzz {

namespace fuzz_results {

// An aggregate, and types that hold more of themselves.
struct Record {
  int number = 0;
  std::string text;
  std::vector<std::optional<double>> values;
};
struct Tree {
  std::vector<Tree> below;
};
struct Chain {
  std::unique_ptr<Chain> next;
  std::map<std::string, std::variant<int, std::string>> values;
};

}  // namespace fuzz_results

namespace results_target {
namespace {

using namespace fuzz_results;
using detail::Bytes;

constexpr std::size_t kMostDecoded = std::size_t{1} << 20;

template <class T>
Bytes encoded(const T& value) {
  Bytes bytes;
  detail::ByteWriter writer(bytes, SIZE_MAX / 2);
  detail::DescriptorWriter descriptors;
  detail::encode(writer, descriptors, value);
  return bytes;
}

detail::Descriptors some_descriptors(std::size_t count) {
  static const Fd null = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  detail::Descriptors made;
  for (std::size_t i = 0; i < count; ++i) made.push_back(null.duplicate());
  return made;
}

template <class T>
void decode_result(std::span<const std::byte> bytes, std::size_t descriptors) {
  detail::Descriptors beside = some_descriptors(descriptors);
  detail::DecodedResult<T> decoded;
  decoded.decode(
      bytes, beside,
      {.most_bytes = kMostDecoded, .most_stack = detail::room_for_nesting(), .most_time = std::chrono::seconds(5)});
  if (!decoded.value) {
    require(decoded.failure != nullptr, "where there is no value, there is why");
    const Error error = detail::decoding_error("f", decoded.failure);
    require(error.code() == Errc::bad_payload || error.code() == Errc::payload_too_large,
            "what does not decode is a bad payload, or too large");
    require(!error.message().empty(), "an error says what is wrong");
    return;
  }
  if (descriptors != 0) return;  // which are encoded as duplicates
  const Bytes again = encoded(*decoded.value);
  detail::DecodedResult<T> twice;
  twice.decode(again.view(), {}, {});
  require(twice.value.has_value(), "what was decoded can be encoded, and decoded again");
  require(encoded(*twice.value).size() == again.size(), "a value is the same behind bytes");
}

void decode_exception(std::span<const std::byte> bytes, std::size_t /*descriptors*/) {
  std::optional<Error> error;
  try {
    error = detail::decode_exception("f", bytes);
  } catch (const detail::DecodeError&) {
    return;
  }
  require(!error->code() || error->message().size() <= bytes.size() + 64, "a text is no longer than what came");
  Bytes again;
  try {
    error->raise();
  } catch (...) {
    detail::encode_current_exception(again, detail::report_limit(0));
  }
  const Error twice = detail::decode_exception("f", again.view());
  require(twice.code() == error->code(), "an exception is of the same kind behind bytes");
}

void decode_failure(std::span<const std::byte> bytes, std::size_t /*descriptors*/) {
  try {
    const Error error = detail::decode_failure(bytes);
    Bytes again;
    detail::encode_failure(again, detail::errc_of(error.code()), error.message(), error.may_have_run());
    const Error twice = detail::decode_failure(again.view());
    require(twice.code() == error.code() && twice.message() == error.message() &&
                twice.may_have_run() == error.may_have_run(),
            "a failure is the same behind bytes");
  } catch (const detail::DecodeError&) {  // NOLINT(bugprone-empty-catch): as it may be
  }
}

using Decode = void (*)(std::span<const std::byte>, std::size_t);
constexpr std::array<Decode, 18> kKinds = {
    decode_exception,
    decode_failure,
    decode_result<std::uint64_t>,
    decode_result<std::string>,
    decode_result<std::vector<std::string>>,
    decode_result<std::vector<std::uint64_t>>,
    decode_result<std::map<std::string, std::vector<int>>>,
    decode_result<std::unordered_map<int, std::string>>,
    decode_result<std::set<std::u32string>>,
    decode_result<std::list<std::deque<std::optional<std::string>>>>,
    decode_result<std::tuple<bool, std::variant<int, std::string, std::vector<bool>>, std::array<short, 3>>>,
    decode_result<std::vector<std::shared_ptr<std::string>>>,
    decode_result<std::unique_ptr<std::vector<Record>>>,
    decode_result<Record>,
    decode_result<Tree>,
    decode_result<Chain>,
    decode_result<std::vector<Fd>>,
    decode_result<std::optional<SharedBuffer>>,
};

void run(std::span<const std::byte> bytes) {
  Input input(bytes);
  const Decode decode = kKinds[input.number<std::uint8_t>() % kKinds.size()];
  const std::size_t descriptors = input.number<std::uint8_t>() % 4;
  // Of their own, and no longer: what reads beyond them is found.
  const auto left = input.rest();
  const std::vector<std::byte> copy(left.begin(), left.end());
  decode(copy, descriptors);
}

template <class T>
void add_seed(std::vector<Bytes>& seeds, std::uint8_t kind, const T& value) {
  Bytes& seed = seeds.emplace_back();
  put_number(seed, kind);
  put_number(seed, std::uint8_t{0});
  seed.append(encoded(value).view());
}

template <class E>
void add_exception(std::vector<Bytes>& seeds, const E& exception) {
  Bytes& seed = seeds.emplace_back();
  put_number(seed, std::uint16_t{0});
  try {
    throw exception;
  } catch (...) {
    detail::encode_current_exception(seed, detail::report_limit(0));
  }
}

std::vector<Bytes> make_seeds() {
  std::vector<Bytes> seeds;
  add_exception(seeds, std::out_of_range("beyond"));
  add_exception(seeds, std::system_error(ENOENT, std::generic_category(), "open"));
  add_exception(seeds, std::bad_variant_access());
  add_exception(seeds, 7);
  put_number(seeds.emplace_back(), std::uint16_t{1});
  detail::encode_failure(seeds.back(), Errc::timed_out, "it took too long", false);
  add_seed(seeds, 2, std::uint64_t{42});
  add_seed(seeds, 4, std::vector<std::string>{"one", "two", ""});
  add_seed(seeds, 5, std::vector<std::uint64_t>{1, 2, 3});
  add_seed(seeds, 6, std::map<std::string, std::vector<int>>{{"a", {1, 2}}, {"b", {}}});
  add_seed(seeds, 7, std::unordered_map<int, std::string>{{1, "x"}, {2, "y"}});
  add_seed(seeds, 8, std::set<std::u32string>{U"a", U"b"});
  add_seed(seeds, 9, std::list<std::deque<std::optional<std::string>>>{{"a", std::nullopt}, {}});
  add_seed(seeds, 10,
           std::tuple<bool, std::variant<int, std::string, std::vector<bool>>, std::array<short, 3>>{
               true, std::vector<bool>{true, false}, {1, 2, 3}});
  const auto shared = std::make_shared<std::string>("shared");
  add_seed(seeds, 11, std::vector<std::shared_ptr<std::string>>{shared, shared, nullptr});
  const Record record{.number = 3, .text = "three", .values = {1.5, std::nullopt}};
  add_seed(seeds, 13, record);
  Tree tree;
  tree.below.resize(3);
  tree.below[1].below.resize(2);
  add_seed(seeds, 14, tree);
  Chain chain{.next = std::make_unique<Chain>(), .values = {{"a", 1}, {"b", "text"}}};
  add_seed(seeds, 15, chain);
  return seeds;
}

}  // namespace
}  // namespace results_target

constinit const Target kResults{
    .name = "results", .max_size = 4096, .run = results_target::run, .make_seeds = results_target::make_seeds};

}  // namespace leasepool::fuzz
