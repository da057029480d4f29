// The public File: opening it, and its verbs handed over to operations.
#include "leasepool/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/unique_fd.hpp"
#include "io/file_core.hpp"
#include "io/io_checks.hpp"
#include "leasepool/detail/access.hpp"
#include "leasepool/loop.hpp"
#include "loop/loop_client.hpp"

namespace leasepool {

namespace detail {

namespace {

// A file that is being opened. Lives until its operation has completed; whoever waits may be gone before.
class Opening final : public IoOwner, public LoopClient, public std::enable_shared_from_this<Opening> {
 public:
  struct Wanted {
    std::string path{};
    int flags = 0;
    mode_t permissions = 0;
    bool or_in_memory = false;
  };

  Opening(std::shared_ptr<LoopCore> loop, Wanted wanted, Duration timeout, IoCallback<File> done)
      : loop_(std::move(loop)), wanted_(std::move(wanted)), timeout_(timeout), done_(std::move(done)) {}

  void begin() {
    loop_->attach(*this);
    deadline_ = deadline_after(loop_->now(), timeout_);
    start();
  }
  void cancel_wait(std::uint64_t /*the only one*/) noexcept override {
    loop_->detach(*this);
    done_ = nullptr;
    result_.reset();
    if (operation_ != 0) loop_->engine().cancel(operation_);
  }
  void loop_closing() noexcept override { cancel_wait(0); }

 private:
  [[nodiscard]] std::string what() const noexcept {
    return in_words_if_room([this] { return "open " + wanted_.path; });
  }

  void start() {
    try {
      operation_ = loop_->engine().start(
          {.kind = Operation::Kind::open,
           .data = wanted_.path.data(),
           .size = wanted_.path.size(),
           .flags = wanted_.flags,
           .mode = wanted_.permissions},
          [self = shared_from_this()](Completion completion) { self->completed(completion); }, deadline_);
    } catch (const std::bad_alloc&) {
      end(std::unexpected(Error::out_of_memory()));
    }
  }

  void completed(Completion completion) {
    operation_ = 0;
    UniqueFd fd = try_above_standard_streams(UniqueFd(std::max(completion.result, -1)));
    const int error = completion.result < 0 ? -completion.result : errno;
    if (!done_) return;  // and so it is closed
    if (!fd && completion.timed_out) return end(std::unexpected(timed_out(what(), timeout_)));
    if (completion.result == -EINTR) return start();
    if (!fd && wanted_.or_in_memory) {
      fd = try_above_standard_streams(UniqueFd(::memfd_create("leasepool", MFD_CLOEXEC)));
    }
    if (!fd) return end(std::unexpected(failed_call(error, what())));
    // It was for open() alone: where it stays, some files are never read.
    if ((wanted_.flags & O_NONBLOCK) != 0) (void)::fcntl(fd.get(), F_SETFL, wanted_.flags & ~O_NONBLOCK);
    try {
      std::string about = wanted_.or_in_memory ? "a temporary file" : std::move(wanted_.path);
      end(Access::make<File>(FileCore::make(loop_, std::move(fd), std::move(about))));
    } catch (const std::bad_alloc&) {
      end(std::unexpected(Error::out_of_memory()));
    }
  }

  void end(Result<File> result) noexcept {
    loop_->detach(*this);
    result_.emplace(std::move(result));
    if (auto queued = delivery_.to_queue(shared_from_this())) loop_->defer(std::move(queued));
  }

  void deliver() {
    if (!result_) return;
    auto done = std::exchange(done_, nullptr);
    Result<File> result = *std::move(result_);
    result_.reset();
    done(std::move(result));
  }

  const std::shared_ptr<LoopCore> loop_;
  Wanted wanted_;
  const Duration timeout_;
  TimePoint deadline_{};
  OperationId operation_ = 0;
  IoCallback<File> done_;  // null once nobody waits
  std::optional<Result<File>> result_;
  DeferredMember<Opening, &Opening::deliver> delivery_;
};

int flags_of(FileMode mode) {
  switch (mode) {
    case FileMode::read: return O_RDONLY;
    case FileMode::write: return O_WRONLY | O_CREAT | O_TRUNC;
    case FileMode::append: return O_WRONLY | O_CREAT | O_APPEND;
    case FileMode::read_write: return O_RDWR | O_CREAT;
    case FileMode::create_new: return O_RDWR | O_CREAT | O_EXCL;
  }
  throw std::invalid_argument("leasepool: open(): mode = " + std::to_string(static_cast<int>(mode)) +
                              " is none of FileMode");
}

// Neither the other end of a FIFO nor a terminal's line is waited for, on any engine: a thread that did could not be
// told to stop.
std::shared_ptr<Opening> open_file(Loop& loop, std::string path, FileMode mode, const OpenOptions& options,
                                   IoCallback<File> done) {
  Opening::Wanted wanted{.path = std::move(path),
                         .flags = flags_of(mode) | O_NONBLOCK | O_NOCTTY,
                         .permissions = static_cast<mode_t>(options.permissions)};
  auto opening = std::make_shared<Opening>(Access::core(loop), std::move(wanted), options.timeout, std::move(done));
  opening->begin();
  return opening;
}

std::shared_ptr<Opening> open_temporary(Loop& loop, IoOptions options, IoCallback<File> done) {
  constexpr mode_t kOnlyForOwner = 0600;
  const char* const directory = ::secure_getenv("TMPDIR");
  Opening::Wanted wanted{.path = directory == nullptr || *directory == '\0' ? "/tmp" : directory,
                         .flags = O_TMPFILE | O_RDWR,
                         .permissions = kOnlyForOwner,
                         .or_in_memory = true};
  auto opening = std::make_shared<Opening>(Access::core(loop), std::move(wanted), options.timeout, std::move(done));
  opening->begin();
  return opening;
}

std::shared_ptr<FileOperation> begin_operation(const std::shared_ptr<FileCore>& core, const FileOperation::Verb& verb,
                                               IoOptions options, IoCallback<std::size_t> done) {
  auto operation = std::make_shared<FileOperation>(core, verb, options, std::move(done));
  operation->begin();
  return operation;
}

// Reads a file to its end, piece by piece, as some do not know their size. Whoever waits holds it.
class WholeFile final : public IoOwner, public std::enable_shared_from_this<WholeFile> {
 public:
  WholeFile(std::shared_ptr<LoopCore> loop, std::string path, std::size_t max_size, IoOptions options,
            IoCallback<std::string> done)
      : loop_(std::move(loop)),
        path_(std::move(path)),
        max_size_(max_size),
        timeout_(options.timeout),
        deadline_(deadline_after(loop_->now(), options.timeout)),
        done_(std::move(done)) {}

  void begin(Loop& loop, IoOptions options) {
    auto opened = [self = shared_from_this()](Result<File> file) { self->opened(std::move(file)); };
    step_.emplace(open_file(loop, path_, FileMode::read, {.timeout = options.timeout}, std::move(opened)), 0);
  }
  void cancel_wait(std::uint64_t /*the only one*/) noexcept override {
    const auto self = shared_from_this();  // its step may have the last hold of it
    done_ = nullptr;
    step_.reset();
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{16} << 10;

  void opened(Result<File> file) {
    if (!file) return end(std::unexpected(std::move(file).error()));
    core_ = Access::core(*file);
    file_.emplace(*std::move(file));
    read_piece();
  }

  void read_piece() {
    try {
      // One more than there may be, to see that there are too many.
      size_ = text_.size();
      text_.resize(size_ + std::min(std::max(kPiece, size_), max_size_ - size_ + 1));
      const std::span into = std::as_writable_bytes(std::span(text_)).subspan(size_);
      auto read = [self = shared_from_this()](Result<std::size_t> count) { self->read(std::move(count)); };
      step_.emplace(begin_operation(core_, {.kind = Operation::Kind::read, .offset = size_, .into = into},
                                    {.timeout = until(deadline_, loop_->now())}, std::move(read)),
                    0);
    } catch (const std::bad_alloc&) {
      end(std::unexpected(Error::out_of_memory()));
    }
  }

  void read(Result<std::size_t> count) {
    if (!count) return end(std::unexpected(of_the_whole(count.error())));
    const bool at_end = size_ + *count < text_.size();
    text_.resize(size_ + *count);
    if (text_.size() > max_size_) {
      return end(std::unexpected(Error::make(Errc::payload_too_large, [&] {
        return "read_all of " + path_ + ": it has more than max_size = " + std::to_string(max_size_) + " bytes";
      })));
    }
    at_end ? end(std::move(text_)) : read_piece();
  }

  // A piece has a part of the time, and of the bytes.
  [[nodiscard]] Error of_the_whole(const Error& error) const {
    if (error.code() != Errc::timed_out) return error;
    const std::string what = in_words_if_room([this] { return "read_all of " + path_; });
    return timed_out(what, timeout_, size_ + error.transferred());
  }

  void end(Result<std::string> result) {
    file_.reset();
    if (auto done = std::exchange(done_, nullptr)) done(std::move(result));
  }

  const std::shared_ptr<LoopCore> loop_;
  const std::string path_;
  const std::size_t max_size_;
  const Duration timeout_;
  const TimePoint deadline_;
  IoCallback<std::string> done_;  // null once nobody waits
  std::optional<File> file_;
  std::shared_ptr<FileCore> core_;
  std::string text_;
  std::size_t size_ = 0;          // of it before the piece that is read
  std::optional<IoTicket> step_;  // what it waits for
};

std::shared_ptr<WholeFile> read_whole(Loop& loop, std::string path, std::size_t max_size, IoOptions options,
                                      IoCallback<std::string> done) {
  max_size = std::min(max_size, SIZE_MAX / 4);
  auto whole = std::make_shared<WholeFile>(Access::core(loop), std::move(path), max_size, options, std::move(done));
  whole->begin(loop, options);
  return whole;
}

}  // namespace

}  // namespace detail

File::File(Loop& loop, Fd fd) {
  const auto& core = detail::Access::core(loop);
  detail::check_verb(*core, "File", Duration::zero());
  if (!fd) throw std::invalid_argument("leasepool: File(): fd is empty; it needs an open descriptor");
  core_ = detail::FileCore::make(core, std::move(fd));
}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    detail::let_go(core_);
    core_ = std::move(other.core_);
  }
  return *this;
}

File::~File() { detail::let_go(core_); }

void File::check(const char* verb, std::uint64_t offset, const IoOptions& options) const {
  if (!core_) detail::throw_closed(verb, "the File was moved from, or it");
  core_->check(verb, options);
  if (offset <= INT64_MAX) return;
  throw std::invalid_argument("leasepool: " + std::string(verb) + "(): offset = " + std::to_string(offset) +
                              " must be 0 to " + std::to_string(INT64_MAX));
}

void File::check_open(const Loop& loop, const char* verb, std::string_view path, const OpenOptions& options) {
  detail::check_verb(*detail::Access::core(loop), verb, options.timeout);
  const std::string named = "leasepool: " + std::string(verb) + "(): ";
  if (path.empty()) throw std::invalid_argument(named + "path = \"\" names no file");
  if (path.find('\0') != std::string_view::npos) {
    throw std::invalid_argument(named + "path = \"" + std::string(path.substr(0, path.find('\0'))) +
                                "\" goes on behind a zero byte, which no file's name has");
  }
  if (options.permissions > 07777) {
    throw std::invalid_argument(named + "permissions = " + std::to_string(options.permissions) +
                                " must be 0 to 4095 (07777)");
  }
}

void File::check_temporary(const Loop& loop, const IoOptions& options) {
  detail::check_verb(*detail::Access::core(loop), "temporary", options.timeout);
}

detail::IoTicket File::begin_open(Loop& loop, const std::string& path, FileMode mode, OpenOptions options,
                                  detail::IoCallback<File> done) {
  check_open(loop, "open", path, options);
  return {detail::open_file(loop, path, mode, options, std::move(done)), 0};
}

detail::IoTicket File::begin_temporary(Loop& loop, IoOptions options, detail::IoCallback<File> done) {
  check_temporary(loop, options);
  return {detail::open_temporary(loop, options, std::move(done)), 0};
}

detail::IoTicket File::begin_read(const Core& core, std::uint64_t offset, std::span<std::byte> buffer,
                                  IoOptions options, detail::IoCallback<std::size_t> done) {
  core->check("read_at", options);
  return {detail::begin_operation(core, {.kind = detail::Operation::Kind::read, .offset = offset, .into = buffer},
                                  options, std::move(done)),
          0};
}

detail::IoTicket File::begin_write(const Core& core, std::uint64_t offset, std::span<const std::byte> bytes,
                                   IoOptions options, detail::IoCallback<void> done) {
  core->check("write_at", options);
  return {detail::begin_operation(core, {.kind = detail::Operation::Kind::write, .offset = offset, .from = bytes},
                                  options, detail::without_count(std::move(done))),
          0};
}

detail::IoTicket File::begin_sync(const Core& core, IoOptions options, detail::IoCallback<void> done) {
  core->check("sync", options);
  return {detail::begin_operation(core, {.kind = detail::Operation::Kind::sync}, options,
                                  detail::without_count(std::move(done))),
          0};
}

detail::IoTicket File::begin_size(const Core& core, IoOptions options, detail::IoCallback<std::uint64_t> done) {
  core->check("size", options);
  return {detail::begin_operation(core, {.asks_size = true}, options, std::move(done)), 0};
}

detail::IoTicket File::begin_read_all(Loop& loop, const std::string& path, std::size_t max_size, IoOptions options,
                                      detail::IoCallback<std::string> done) {
  check_open(loop, "read_all", path, {.timeout = options.timeout});
  return {detail::read_whole(loop, path, max_size, options, std::move(done)), 0};
}

void File::open_async(Loop& loop, std::string_view path, FileMode mode, OpenOptions options,
                      detail::IoCallback<File> done) {
  check_open(loop, "open_async", path, options);
  detail::check_io_callback("open_async", done);
  detail::open_file(loop, std::string(path), mode, options, std::move(done));
}

void File::temporary_async(Loop& loop, IoOptions options, detail::IoCallback<File> done) {
  check_temporary(loop, options);
  detail::check_io_callback("temporary_async", done);
  detail::open_temporary(loop, options, std::move(done));
}

void File::read_at_async(std::uint64_t offset, std::span<std::byte> buffer, IoOptions options,
                         detail::IoCallback<std::size_t> done) {
  check("read_at_async", offset, options);
  detail::check_io_callback("read_at_async", done);
  detail::begin_operation(core_, {.kind = detail::Operation::Kind::read, .offset = offset, .into = buffer}, options,
                          std::move(done));
}

void File::write_at_async(std::uint64_t offset, std::span<const std::byte> bytes, IoOptions options,
                          detail::IoCallback<void> done) {
  check("write_at_async", offset, options);
  detail::check_io_callback("write_at_async", done);
  detail::begin_operation(core_, {.kind = detail::Operation::Kind::write, .offset = offset, .from = bytes}, options,
                          detail::without_count(std::move(done)));
}

void File::sync_async(IoOptions options, detail::IoCallback<void> done) {
  check("sync_async", 0, options);
  detail::check_io_callback("sync_async", done);
  detail::begin_operation(core_, {.kind = detail::Operation::Kind::sync}, options,
                          detail::without_count(std::move(done)));
}

void File::read_all_async(Loop& loop, std::string_view path, std::size_t max_size, IoOptions options,
                          detail::IoCallback<std::string> done) {
  check_open(loop, "read_all_async", path, {.timeout = options.timeout});
  detail::check_io_callback("read_all_async", done);
  detail::read_whole(loop, std::string(path), max_size, options, std::move(done));
}

void File::size_async(IoOptions options, detail::IoCallback<std::uint64_t> done) {
  check("size_async", 0, options);
  detail::check_io_callback("size_async", done);
  detail::begin_operation(core_, {.asks_size = true}, options, std::move(done));
}

void File::close() noexcept {
  if (core_) core_->close();
}

int File::fd() const noexcept { return core_ && !core_->closed() ? core_->fd() : -1; }

}  // namespace leasepool
