// SharedBuffer as an argument and a result: the same memory on both sides, at a cost that its size does not change.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "functions.hpp"
#include "harness.hpp"
#include "leasepool/shared_buffer.hpp"
#include "support/eventually.hpp"
#include "support/process_state.hpp"
#include "support/sanitized.hpp"
#include "support/skip.hpp"

namespace buffer_cases {

using leasepool::SharedBuffer;

struct Part {
  SharedBuffer buffer;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(buffer, first, count);
  }
};

void square_part(const Part& part) {
  for (std::uint64_t& number : part.buffer.as<std::uint64_t>().subspan(part.first, part.count)) number *= number;
}
SharedBuffer make(std::size_t size, std::uint8_t fill) {
  SharedBuffer made(size);
  std::ranges::fill(made.bytes(), std::byte{fill});
  return made;
}
std::uint64_t size_of(const SharedBuffer& buffer) { return buffer.size(); }
std::vector<SharedBuffer> pass_on(std::optional<SharedBuffer> one, const std::vector<SharedBuffer>& more) {
  std::vector<SharedBuffer> all = more;
  if (one) all.push_back(*one);
  return all;
}
int buffers_mapped() {
  std::ifstream maps("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("leasepool-buffer") != std::string::npos ? 1 : 0;
  return count;
}

}  // namespace buffer_cases

LEASEPOOL_REGISTER(buffer_cases::square_part);
LEASEPOOL_REGISTER(buffer_cases::make);
LEASEPOOL_REGISTER(buffer_cases::size_of);
LEASEPOOL_REGISTER(buffer_cases::pass_on);
LEASEPOOL_REGISTER(buffer_cases::buffers_mapped);

using namespace leasepool;
using namespace buffer_cases;
using leasepool::test::eventually;
using leasepool::test::TestPool;

TEST_CASE("what several workers write into one buffer is there when they have ended", "[shared-buffer]") {
  for (const ExecutorBackend backend : {ExecutorBackend::thread, ExecutorBackend::process}) {
    const auto before = test::open_descriptors();
    {
      Loop loop;
      TestPool pool(loop, backend, 4);
      REQUIRE(pool.start().has_value());
      const SharedBuffer buffer(4000 * sizeof(std::uint64_t));
      const auto numbers = buffer.as<std::uint64_t>();
      std::iota(numbers.begin(), numbers.end(), 0);
      std::vector<std::shared_ptr<test::Call<void>>> calls;
      for (std::uint64_t i = 0; i < 4; ++i) calls.push_back(pool.call(square_part, Part{buffer, 1000 * i, 1000}));
      REQUIRE(
          pool.wait([&] { return std::ranges::all_of(calls, [](const auto& call) { return call->succeeded(); }); }));
      for (std::uint64_t i = 0; i < 4000; ++i) REQUIRE(numbers[i] == i * i);
    }
    CHECK(eventually([&] { return test::open_descriptors() == before; }));
  }
}

TEST_CASE("a worker's buffer comes as a result, and its memory goes with the last handle", "[shared-buffer]") {
  for (const ExecutorBackend backend : {ExecutorBackend::thread, ExecutorBackend::process}) {
    Loop loop;
    TestPool pool(loop, backend, 1);
    REQUIRE(pool.start().has_value());
    const auto before = test::open_descriptors();
    {
      const SharedBuffer made = pool.result_of(make, 5000, 42).value();
      REQUIRE(made.size() == 5000);
      CHECK(std::ranges::all_of(made.bytes(), [](std::byte byte) { return byte == std::byte{42}; }));
      const auto all = pool.result_of(pass_on, made, std::vector<SharedBuffer>{SharedBuffer(), SharedBuffer(1), made});
      REQUIRE(all.value().size() == 4);
      CHECK(all.value()[0].empty());
      CHECK(all.value()[1].size() == 1);
      all.value()[2].data()[7] = std::byte{1};
      CHECK(made.data()[7] == std::byte{1});
      CHECK(all.value()[3].data()[7] == std::byte{1});
      CHECK(buffers_mapped() > 0);
    }
    CHECK(buffers_mapped() == 0);
    CHECK(pool.result_of(buffers_mapped).value() == 0);
    CHECK(eventually([&] { return test::open_descriptors() == before; }));
  }
}

TEST_CASE("a buffer's size does not show in what is sent", "[shared-buffer]") {
  std::vector<std::size_t> sent;
  for (const std::size_t size : {std::size_t{4} << 10, std::size_t{1} << 30}) {
    std::shared_ptr<test::Call<std::uint64_t>> call;
    const auto job = test::make_test_job(call, size_of, SharedBuffer(size));
    detail::Bytes bytes;
    detail::Descriptors descriptors;
    REQUIRE(job->encode(bytes, descriptors, 100).has_value());
    CHECK(descriptors.size() == 1);
    sent.push_back(bytes.size());
  }
  CHECK(sent == std::vector<std::size_t>{4, 4});

  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  options.max_payload = 100;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  CHECK(pool.result_of(size_of, SharedBuffer(std::size_t{1} << 30)).value() == std::size_t{1} << 30);
  CHECK(pool.result_of(pass_on, SharedBuffer(std::size_t{1} << 30), std::vector<SharedBuffer>()).value().size() == 1);
}

TEST_CASE("a buffer that a worker may not map fails the call alone", "[shared-buffer]") {
  if (test::kSanitized) return test::skip("a sanitizer needs more address space than a limit leaves");
  Loop loop;
  detail::PoolOptions options = TestPool::options_for(1);
  options.limits.memory = std::size_t{512} << 20;
  TestPool pool(loop, ExecutorBackend::process, std::move(options));
  REQUIRE(pool.start().has_value());
  const auto too_large = pool.result_of(size_of, SharedBuffer(std::size_t{1} << 30));
  REQUIRE_FALSE(too_large.has_value());
  CHECK(too_large.error().code() == Errc::bad_payload);
  CHECK_THAT(too_large.error().message(), ContainsSubstring("1073741824 bytes"));
  CHECK(pool.result_of(size_of, SharedBuffer(1000)).value() == 1000);
  CHECK(pool.totals->workers_crashed == 0);
}
