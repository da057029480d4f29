// The functions that nodes of a cluster's tests lend.
#include "cluster/functions.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

#include <leasepool/leasepool.hpp>

namespace cluster {

namespace {

// Killed, and only not gone yet: it runs nothing any more.
bool is_dying(pid_t process) {
  constexpr unsigned long kExiting = 0x4;  // PF_EXITING of /proc/PID/stat
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return true;
  std::istringstream words(line.substr(line.rfind(')') + 1));
  char state = 0;
  unsigned long flags = 0;
  words >> state;
  for (int skipped = 0; skipped < 6; ++skipped) words >> flags;
  if (state == 'Z' || state == 'X' || (flags & kExiting) != 0) return true;
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  constexpr unsigned long kKill = 1UL << (SIGKILL - 1);
  while (std::getline(status, line)) {
    const bool pending = line.starts_with("SigPnd:") || line.starts_with("ShdPnd:");
    if (pending && (std::stoul(line.substr(7), nullptr, 16) & kKill) != 0) return true;
  }
  return false;
}

// One of the places of a file, a byte of it each, that processes of one node hold while they run a call.
class Place {
 public:
  Place(const std::string& file, off_t places)
      : fd_(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)), places_(places) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (fd_ >= 0) ::close(fd_);
  }

  // False where all are held by processes that live, and still are some looks later.
  [[nodiscard]] bool take() const {
    for (int looks = 0; looks < 3;) {
      bool some_die = false;
      for (off_t at = 0; at < places_; ++at) {
        struct flock lock = one(at);
        if (::fcntl(fd_, F_SETLK, &lock) == 0) return true;
        lock = one(at);
        some_die = some_die || ::fcntl(fd_, F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK || is_dying(lock.l_pid);
      }
      if (!some_die) ++looks;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

 private:
  static struct flock one(off_t at) {
    struct flock lock{};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = at;
    lock.l_len = 1;
    return lock;
  }
  int fd_;
  off_t places_;
};

}  // namespace

void append_line(const char* file, const std::string& line) {
  const int fd = ::open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), file);
  std::string whole = line;
  std::ranges::replace(whole, '\n', ' ');
  whole += '\n';
  const ssize_t written = ::write(fd, whole.data(), whole.size());
  const int failed = errno;
  ::close(fd);
  if (written != static_cast<ssize_t>(whole.size())) throw std::system_error(failed, std::generic_category(), file);
}

std::string noted(std::uint64_t number, std::uint64_t microseconds, std::string ballast) {
  const char* const log = std::getenv(kLogVariable);        // NOLINT(concurrency-mt-unsafe): nobody sets it
  const char* const places = std::getenv(kAtOnceVariable);  // NOLINT(concurrency-mt-unsafe)
  append_line(log, "run " + std::to_string(number) + " " + std::to_string(::getpid()));
  const Place place(std::string(log) + ".places", std::strtol(places, nullptr, 10));
  if (!place.take()) append_line(log, "crowded " + std::to_string(number));
  std::this_thread::sleep_for(std::chrono::microseconds(microseconds));
  return answer_of(number, ballast.size());
}

// As much comes back as was sent.
std::string answer_of(std::uint64_t number, std::size_t ballast) {
  return std::to_string(number) + ":" + std::string(ballast, 'r');
}

}  // namespace cluster

LEASEPOOL_REGISTER(cluster::noted);
