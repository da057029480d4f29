// Opening the file, and events as text: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
#include "base/trace_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <new>
#include <utility>

#include "base/printable.hpp"
#include "base/trace_writer.hpp"
#include "base/unique_fd.hpp"

namespace leasepool::detail {

namespace {

constexpr std::size_t kMostWaiting = std::size_t{8} << 20;
constexpr std::size_t kMostText = 256;  // bytes of a name or an argument
constexpr std::size_t kRoomForEnd = 1024;
constexpr Duration kClosePatience = std::chrono::seconds(2);
constexpr Duration kThreadKeptFor = std::chrono::seconds(1);

// What concerns the whole trace is on the row of its first group.
constexpr TraceRow kFirst{.group = 1, .row = 1};

class WriteTask final : public BackgroundTask {
 public:
  explicit WriteTask(std::shared_ptr<TraceWriter> writer) noexcept : writer_(std::move(writer)) {}
  void run() noexcept override { writer_->write(); }

 private:
  std::shared_ptr<TraceWriter> writer_;
};

void append_number(std::string& out, std::uint64_t number, int base = 10) {
  std::array<char, 24> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, base);
  out.append(digits.data(), end.ptr);
}

// In microseconds, as the format has times.
void append_time(std::string& out, Duration time) {
  constexpr unsigned kPerMicrosecond = 1000;
  const std::uint64_t count = time < Duration::zero() ? 0 : static_cast<std::uint64_t>(time.count());
  append_number(out, count / kPerMicrosecond);
  const auto rest = static_cast<unsigned>(count % kPerMicrosecond);
  out += {'.', static_cast<char>('0' + rest / 100), static_cast<char>('0' + rest / 10 % 10),
          static_cast<char>('0' + rest % 10)};
}

std::string_view cut(std::string_view text) noexcept {
  if (text.size() <= kMostText) return text;
  std::size_t size = kMostText;
  while (size > kMostText - 4 && (static_cast<unsigned char>(text[size]) & 0xc0U) == 0x80U) --size;
  return text.substr(0, size);
}

// Whoever else writes to a file has locked it; where locks are unknown, none is missed. A device is for all.
Result<UniqueFd> open_for_trace(const std::string& path) {
  const auto refused = [&](const std::string& why) {
    return std::unexpected(
        Error(Errc::pool_broken, "TraceOptions::path = \"" + path + "\" cannot be written to: " + why));
  };
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, S_IRUSR | S_IWUSR));
  if (!file) return refused(std::strerror(errno));
  if (file.get() <= STDERR_FILENO) file = duplicate_above_standard_streams(file.get());
  if (!file) return refused(std::strerror(errno));
  if (::lseek(file.get(), 0, SEEK_SET) < 0) return refused("it is neither a file nor a device in which one can seek");
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return refused(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) return file;
  struct flock whole{};
  whole.l_type = F_WRLCK;
  whole.l_whence = SEEK_SET;
  if (::fcntl(file.get(), F_OFD_SETLK, &whole) != 0 && (errno == EAGAIN || errno == EACCES))
    return refused("another manager writes its trace to it; give each a file of its own");
  if (::ftruncate(file.get(), 0) != 0) return refused(std::strerror(errno));
  return file;
}

}  // namespace

Result<std::shared_ptr<TraceFile>> TraceFile::open(const TraceOptions& options, TimePoint now, Problem problem) {
  auto file = open_for_trace(options.path);
  if (!file) return std::unexpected(file.error());
  return std::make_shared<TraceFile>(std::make_shared<TraceWriter>(std::move(*file)), options, now, std::move(problem));
}

TraceFile::TraceFile(std::shared_ptr<TraceWriter> writer, const TraceOptions& options, TimePoint now, Problem problem)
    : writer_(std::move(writer)),
      path_(options.path),
      max_bytes_(options.max_bytes),
      opened_at_(now),
      process_(::getpid()),
      problem_(std::move(problem)),
      last_at_(now),
      thread_("leasepool-trace", kThreadKeptFor) {}

TraceRow TraceFile::add_group(std::string_view name) noexcept {
  const TraceRow row{.group = ++last_row_, .row = last_row_};
  name_row("process_name", row, name);
  return row;
}

TraceRow TraceFile::add_row(TraceRow group, std::string_view name) noexcept {
  const TraceRow row{.group = group.group, .row = ++last_row_};
  name_row("thread_name", row, name);
  return row;
}

void TraceFile::name_row(std::string_view kind, TraceRow row, std::string_view name) noexcept {
  put({.phase = 'M', .category = {}, .name = kind, .row = row, .at = opened_at_}, {{"name", name}});
}

void TraceFile::put(const Event& event, TraceArguments arguments) noexcept {
  if (ended_) return;
  last_at_ = std::max(event.at, event.until);
  try {
    format(event, arguments);
  } catch (const std::bad_alloc&) {
    ++dropped_;
    return;
  }
  accept();
}

// Into `event_`.
void TraceFile::format(const Event& event, TraceArguments arguments) {
  std::string& out = event_;
  out.assign(accepted_ == 0 ? TraceWriter::kBegin : ",\n").append(R"({"ph":")");
  out += event.phase;
  out += '"';
  if (!event.name.empty()) append_json_string(out.append(R"(,"name":)"), cut(event.name));
  if (!event.category.empty()) out.append(R"(,"cat":")").append(event.category).append(1, '"');
  append_number(out.append(R"(,"pid":)"), event.row.group);
  append_number(out.append(R"(,"tid":)"), event.row.row);
  append_time(out.append(R"(,"ts":)"), event.at - opened_at_);
  if (event.phase == 'X') append_time(out.append(R"(,"dur":)"), event.until - event.at);
  if (event.phase == 'i') out.append(R"(,"s":"t")");
  if (event.id != 0) {
    append_number(out.append(R"(,"id":"0x)"), event.id, 16);
    out += '"';
  }
  if (arguments.size() != 0) {
    out.append(R"(,"args":{)");
    bool first = true;
    for (const TraceArgument& argument : arguments) {
      out.append(std::exchange(first, false) ? "\"" : ",\"").append(argument.key).append("\":");
      argument.is_number ? append_number(out, argument.number) : append_json_string(out, cut(argument.text));
    }
    out += '}';
  }
  out += '}';
}

// What is in `event_`; the last one that there is room for is the end.
void TraceFile::accept() noexcept {
  if (has_failed()) return;
  try {
    if (accepted_ + event_.size() + kRoomForEnd > max_bytes_) {
      ended_ = true;
      format({.phase = 'i', .category = "event", .name = "the trace ends here", .row = kFirst, .at = last_at_},
             {{"why", "it has TraceOptions::max_bytes"}, {"max_bytes", max_bytes_}});
    } else if (dropped_ != 0) {
      const std::string event = event_.substr(accepted_ == 0 ? TraceWriter::kBegin.size() : 2);
      format({.phase = 'i', .category = "event", .name = "events are missing", .row = kFirst, .at = last_at_},
             {{"events", dropped_}});
      event_.append(",\n").append(event);
    }
    switch (writer_->add(event_, ended_ ? SIZE_MAX : kMostWaiting)) {
      case TraceWriter::Added::dropped: ++dropped_; return;
      case TraceWriter::Added::waits: break;
      case TraceWriter::Added::is_first: hand_over(); break;
    }
    accepted_ += event_.size();
    dropped_ = 0;
  } catch (const std::bad_alloc&) {
    ++dropped_;
  }
}

// Where there is no thread, what waits is tried again with the next event.
void TraceFile::hand_over() noexcept {
  try {
    if (thread_.add(std::make_shared<WriteTask>(writer_))) return;
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): as where there is no thread
  }
  writer_->take_back();
}

bool TraceFile::has_failed() noexcept {
  const int error = writer_->error();
  if (error == 0) return false;
  ended_ = true;
  try {
    if (const Problem problem = std::exchange(problem_, {})) {
      problem("the trace in \"" + path_ + "\" ends, as it cannot be written: " + std::strerror(error));
    }
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): it goes untold
  }
  return true;
}

void TraceFile::close() noexcept {
  if (::getpid() != process_) return;  // a forked copy has no such thread, and the file is the other's
  ended_ = true;
  writer_->finish(kClosePatience);
  (void)has_failed();
}

}  // namespace leasepool::detail
