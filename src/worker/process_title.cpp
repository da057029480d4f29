// The kernel's record of where the command line is, from PR_SET_MM_MAP of prctl(2). It reads a line that does not end
// with a null byte as one that setproctitle() wrote, up to the first null byte (get_mm_proctitle() in fs/proc/base.c).
#include "worker/process_title.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

#include <linux/prctl.h>

#include "base/unique_fd.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kRoom = 1024;
// As long as each other, with the null byte behind the second.
constexpr std::string_view kRuns = "runs ";
constexpr std::string_view kIdle = "idle";

// Of this process: where its title stands, of kRoom bytes; null where it has none.
char*& own_title() noexcept {
  static char* title = nullptr;
  return title;
}

char* last_byte(char* title) noexcept { return title + kRoom - 1; }

// As much of the text as there is room for before the last byte and a null byte; returns where the next goes.
char* append(char* at, std::string_view text) noexcept {
  const auto room = static_cast<std::size_t>(last_byte(own_title()) - at) - 1;
  at = std::ranges::copy(text.substr(0, room), at).out;
  *at = '\0';
  return at;
}

// The numbers of /proc/self/stat from `first` on, as proc(5) counts them; none where it cannot be read.
template <std::size_t kCount>
std::optional<std::array<std::uint64_t, kCount>> stat_fields(std::string_view stat, std::size_t first) noexcept {
  const std::size_t name_end = stat.rfind(')');  // the name may hold anything
  if (name_end == std::string_view::npos) return std::nullopt;
  stat.remove_prefix(std::min(name_end + 2, stat.size()));
  std::array<std::uint64_t, kCount> fields{};
  for (std::size_t field = 3; field < first + kCount; ++field) {
    const std::size_t end = std::min(stat.find(' '), stat.size());
    if (end == 0) return std::nullopt;
    if (field >= first) {
      const auto [rest, error] = std::from_chars(stat.begin(), stat.begin() + end, fields[field - first]);
      if (error != std::errc()) return std::nullopt;
    }
    stat.remove_prefix(std::min(end + 1, stat.size()));
  }
  return fields;
}

// All of what the kernel keeps of this process's memory, as it has to be told all to be told one.
std::optional<prctl_mm_map> own_memory_map() noexcept {
  const UniqueFd file(::open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 2048> text;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
  ssize_t size = 0;
  do {
    size = ::read(file.get(), text.data(), text.size());
  } while (size < 0 && errno == EINTR);
  if (size <= 0) return std::nullopt;
  const std::string_view stat(text.data(), static_cast<std::size_t>(size));
  const auto code = stat_fields<3>(stat, 26);  // startcode, endcode, startstack
  const auto data = stat_fields<7>(stat, 45);  // start_data, end_data, start_brk, and the ends of argv and of environ
  if (!code || !data) return std::nullopt;
  return prctl_mm_map{.start_code = (*code)[0],
                      .end_code = (*code)[1],
                      .start_data = (*data)[0],
                      .end_data = (*data)[1],
                      .start_brk = (*data)[2],
                      .brk = reinterpret_cast<std::uintptr_t>(::sbrk(0)),
                      .start_stack = (*code)[2],
                      .arg_start = (*data)[3],
                      .arg_end = (*data)[4],
                      .env_start = (*data)[5],
                      .env_end = (*data)[6],
                      .auxv = nullptr,
                      .auxv_size = 0,
                      .exe_fd = static_cast<std::uint32_t>(-1)};  // as it is
}

}  // namespace

void prepare_process_title() noexcept {
  void* const memory = ::mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  auto* const title = static_cast<char*>(memory);
  *last_byte(title) = '.';
  auto map = own_memory_map();
  if (map) {
    map->arg_start = reinterpret_cast<std::uintptr_t>(title);
    map->arg_end = map->arg_start + kRoom;
  }
  if (!map || ::prctl(PR_SET_MM, PR_SET_MM_MAP, &*map, sizeof(*map), 0) != 0) {
    ::munmap(memory, kRoom);
    return;
  }
  own_title() = title;
}

void set_process_title(std::string_view text) noexcept {
  if (own_title() == nullptr) return;
  append(append(append(own_title(), program_invocation_short_name), ": leasepool "), text);
}

void WorkerTitle::set(std::string_view pool, std::uint64_t worker_id) noexcept {
  if (own_title() == nullptr) return;
  std::array<char, 20> number;  // NOLINT(cppcoreguidelines-pro-type-member-init): written
  const char* const number_end = std::to_chars(number.data(), number.data() + number.size(), worker_id).ptr;
  set_process_title("worker ");
  char* at = append(own_title() + std::strlen(own_title()), {number.data(), number_end});
  at = append(append(append(at, " of "), pool), ": ");
  if (static_cast<std::size_t>(last_byte(own_title()) - at) <= kIdle.size()) return;
  state_ = at;
  end();
}

void WorkerTitle::begin(std::string_view function) noexcept {
  if (state_ == nullptr) return;
  if (function.data() != shown_.data()) append(state_ + kRuns.size(), function);
  shown_ = function;
  std::memcpy(state_, kRuns.data(), kRuns.size());
}

// With its null byte, which the function's name stays behind.
void WorkerTitle::end() noexcept {
  if (state_ != nullptr) std::memcpy(state_, kIdle.data(), kIdle.size() + 1);
}

}  // namespace leasepool::detail
