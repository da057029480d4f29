// SharedBuffer without a call: its memory, its seals, and which descriptors it does not take for memory.
#include "leasepool/shared_buffer.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include "catch.hpp"
#include "support/process_state.hpp"

using leasepool::Fd;
using leasepool::SharedBuffer;
using leasepool::test::open_descriptors;

namespace {

int mapped_buffers() {
  std::ifstream maps("/proc/self/maps");
  int count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find("leasepool-buffer") != std::string::npos ? 1 : 0;
  return count;
}

Fd memory_with(int seals, unsigned flags = MFD_ALLOW_SEALING) {
  Fd memory(::memfd_create("test", MFD_CLOEXEC | flags));
  if (::ftruncate(memory.get(), std::int64_t{2} << 20) != 0 || ::fcntl(memory.get(), F_ADD_SEALS, seals) != 0)
    return {};
  return memory;
}

}  // namespace

TEST_CASE("a buffer is zeros of the size asked for, and goes with its last handle", "[shared-buffer]") {
  const auto before = open_descriptors();
  {
    SharedBuffer buffer(10'000);
    CHECK(buffer.size() == 10'000);
    CHECK(buffer.bytes().size() == 10'000);
    CHECK(std::ranges::all_of(buffer.bytes(), [](std::byte byte) { return byte == std::byte{0}; }));
    CHECK(buffer.as<std::uint64_t>().size() == 1250);
    CHECK(buffer.as<std::uint32_t[3]>().size() == 833);
    SharedBuffer same = buffer;
    CHECK(same == buffer);
    CHECK(same != SharedBuffer(10'000));
    buffer.as<std::uint64_t>()[1249] = 7;
    buffer = {};
    CHECK(buffer.empty());
    CHECK(same.as<std::uint64_t>()[1249] == 7);
    CHECK(mapped_buffers() == 1);
  }
  CHECK(mapped_buffers() == 0);
  CHECK(open_descriptors() == before);
}

TEST_CASE("an empty buffer has no memory", "[shared-buffer]") {
  const auto before = open_descriptors();
  for (const SharedBuffer& buffer : {SharedBuffer(), SharedBuffer(0)}) {
    CHECK(buffer.data() == nullptr);
    CHECK(buffer.bytes().empty());
    CHECK(buffer.as<int>().empty());
    CHECK_FALSE(buffer.fd());
    CHECK(buffer == SharedBuffer());
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a size that cannot be had is an error that names it", "[shared-buffer]") {
  const auto before = open_descriptors();
  for (const std::size_t size : {SIZE_MAX, std::size_t{1} << 62}) {
    CHECK_THROWS_WITH(SharedBuffer(size), ContainsSubstring(std::to_string(size)));
    CHECK_THROWS_AS(SharedBuffer(size), std::system_error);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("nobody can change the size of a buffer or its seals", "[shared-buffer]") {
  const SharedBuffer buffer(4096);
  CHECK(::ftruncate(buffer.fd().get(), 0) != 0);
  CHECK(::ftruncate(buffer.fd().get(), 8192) != 0);
  CHECK(::fcntl(buffer.fd().get(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
  CHECK((::fcntl(buffer.fd().get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a buffer that is mapped again is the same memory", "[shared-buffer]") {
  const SharedBuffer buffer(5000);
  const SharedBuffer again = SharedBuffer::map(buffer.fd().duplicate());
  CHECK(again.size() == 5000);
  CHECK(again != buffer);  // as far as this process can know
  again.data()[4999] = std::byte{9};
  CHECK(buffer.data()[4999] == std::byte{9});
}

TEST_CASE("what is no sealed memory is not mapped", "[shared-buffer]") {
  constexpr int kAll = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const auto before = open_descriptors();
  CHECK_NOTHROW(SharedBuffer::map(memory_with(kAll)));
  CHECK_THROWS_AS(SharedBuffer::map(memory_with(F_SEAL_GROW | F_SEAL_SEAL)), std::invalid_argument);
  CHECK_THROWS_AS(SharedBuffer::map(memory_with(F_SEAL_SHRINK | F_SEAL_SEAL)), std::invalid_argument);
  CHECK_THROWS_AS(SharedBuffer::map(memory_with(F_SEAL_SHRINK | F_SEAL_GROW)), std::invalid_argument);
  CHECK_THROWS_AS(SharedBuffer::map(memory_with(kAll | F_SEAL_WRITE)), std::system_error);
  CHECK_THROWS_AS(SharedBuffer::map(Fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC))), std::invalid_argument);
  CHECK_THROWS_AS(SharedBuffer::map(Fd(::open("/dev/zero", O_RDWR | O_CLOEXEC))), std::invalid_argument);
  CHECK_THROWS_AS(SharedBuffer::map(Fd()), std::invalid_argument);
  if (Fd huge = memory_with(kAll, MFD_ALLOW_SEALING | MFD_HUGETLB)) {
    CHECK_THROWS_AS(SharedBuffer::map(std::move(huge)), std::invalid_argument);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a duplicated descriptor is another number for the same open file", "[fd]") {
  const auto before = open_descriptors();
  {
    const Fd first(::open("/proc/self/stat", O_RDONLY));
    const Fd second = first.duplicate();
    CHECK(second.get() != first.get());
    CHECK((::fcntl(second.get(), F_GETFD) & FD_CLOEXEC) != 0);
    char byte = 0;
    CHECK(::read(first.get(), &byte, 1) == 1);
    CHECK(::lseek(second.get(), 0, SEEK_CUR) == 1);
    CHECK_FALSE(Fd().duplicate());
    Fd closed(first.duplicate());
    ::close(closed.get());
    CHECK_THROWS_AS(closed.duplicate(), std::system_error);
    (void)closed.release();
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a buffer larger than a file may be is refused, naming the limit, and no signal comes", "[shared-buffer]") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto descriptors = open_descriptors();
  const rlimit small{.rlim_cur = 65536, .rlim_max = before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  std::string refusal;
  std::error_code code;
  const SharedBuffer fits(65536);
  try {
    const SharedBuffer too_large(65537);
  } catch (const std::system_error& error) {
    refusal = error.what();
    code = error.code();
  }
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &before) == 0);
  CHECK(fits.size() == 65536);
  CHECK(code == std::errc::file_too_large);
  CHECK_THAT(refusal, ContainsSubstring("65537 bytes") && ContainsSubstring("RLIMIT_FSIZE = 65536"));
  CHECK(open_descriptors().size() == descriptors.size() + 1);
}
