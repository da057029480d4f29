// The functions that run on the pools.
#include "workloads.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <zlib.h>
#include <leasepool/function.hpp>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <thread>

LEASEPOOL_REGISTER(lpbench::deflate_file);
LEASEPOOL_REGISTER(lpbench::hash_file);
LEASEPOOL_REGISTER(lpbench::crash_on_purpose);
LEASEPOOL_REGISTER(lpbench::noop);
LEASEPOOL_REGISTER(lpbench::spin);
LEASEPOOL_REGISTER(lpbench::sleep);

namespace lpbench {

namespace {

constexpr std::size_t kPiece = std::size_t{128} << 10;

std::runtime_error file_error(const std::string& path, int error) {
  return std::runtime_error(fmt::format("{}: {}", path, std::generic_category().message(error)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

const Bytef* zlib_bytes(std::string_view bytes) { return reinterpret_cast<const Bytef*>(bytes.data()); }

// A deflate stream of which only the size and the checksum of its output are kept.
class Deflater {
 public:
  explicit Deflater(FileDigest& digest) : digest_(&digest) {
    if (deflateInit(&stream_, Z_DEFAULT_COMPRESSION) != Z_OK) throw std::runtime_error("zlib: deflateInit failed");
  }
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater() { deflateEnd(&stream_); }

  void add(std::string_view bytes, int flush) {
    stream_.next_in = const_cast<Bytef*>(zlib_bytes(bytes));  // NOLINT: zlib only reads it
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = output_.get();
      stream_.avail_out = kPiece;
      deflate(&stream_, flush);
      const auto made = static_cast<uInt>(kPiece - stream_.avail_out);
      digest_->checksum = static_cast<std::uint32_t>(crc32(digest_->checksum, output_.get(), made));
      digest_->bytes_made += made;
    } while (stream_.avail_out == 0);
  }

 private:
  FileDigest* digest_;
  z_stream stream_{};
  std::unique_ptr<Bytef[]> output_ = std::make_unique_for_overwrite<Bytef[]>(kPiece);
};

std::chrono::nanoseconds thread_cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

void read_file(const std::string& path, const std::function<void(std::string_view)>& piece) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK));
  if (file.get() < 0) throw file_error(path, errno);
  const auto buffer = std::make_unique_for_overwrite<char[]>(kPiece);
  for (;;) {
    const ssize_t got = read(file.get(), buffer.get(), kPiece);
    if (got == 0) return;
    if (got > 0) {
      piece({buffer.get(), static_cast<std::size_t>(got)});
    } else if (errno != EINTR) {
      throw file_error(path, errno);
    }
  }
}

FileDigest deflate_file(const std::string& path) {
  FileDigest digest;
  Deflater deflater(digest);
  read_file(path, [&](std::string_view piece) {
    digest.bytes_read += piece.size();
    deflater.add(piece, Z_NO_FLUSH);
  });
  deflater.add({}, Z_FINISH);
  return digest;
}

FileDigest hash_file(const std::string& path) {
  FileDigest digest;
  read_file(path, [&](std::string_view piece) {
    digest.bytes_read += piece.size();
    digest.checksum =
        static_cast<std::uint32_t>(crc32(digest.checksum, zlib_bytes(piece), static_cast<uInt>(piece.size())));
  });
  return digest;
}

void crash_on_purpose() {
  prctl(PR_SET_DUMPABLE, 0);  // it is no accident that somebody should look into
  std::raise(SIGSEGV);
}

std::uint64_t noop(std::uint64_t /*microseconds*/, const std::vector<std::uint8_t>& payload) { return payload.size(); }

std::uint64_t spin(std::uint64_t microseconds, const std::vector<std::uint8_t>& payload) {
  // CPU time, not the wall's: more workers than cores must not look like more work done.
  const auto end = thread_cpu_time() + std::chrono::microseconds(microseconds);
  while (thread_cpu_time() < end) {
  }
  return payload.size();
}

std::uint64_t sleep(std::uint64_t microseconds, const std::vector<std::uint8_t>& payload) {
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  return payload.size();
}

}  // namespace lpbench
