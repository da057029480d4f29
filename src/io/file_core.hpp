// FileCore: an open file and what is in flight on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "leasepool/file.hpp"
#include "loop/deferred.hpp"
#include "loop/engine.hpp"
#include "loop/loop_client.hpp"
#include "loop/loop_core.hpp"

namespace leasepool::detail {

class FileOperation;

// Loop thread only. Its descriptor is closed when its File is, and nothing is in flight any more.
class FileCore final : public LoopClient, public std::enable_shared_from_this<FileCore> {
 public:
  // `about`: its path, for messages; empty: its number. Throws std::bad_alloc.
  static std::shared_ptr<FileCore> make(std::shared_ptr<LoopCore> loop, UniqueFd fd, std::string about = {});
  FileCore(std::shared_ptr<LoopCore> loop, UniqueFd fd, std::string about) noexcept
      : loop_(std::move(loop)), fd_(std::move(fd)), about_(std::move(about)) {}

  void loop_closing() noexcept override { close(); }
  void close() noexcept;

  void check(const char* verb, const IoOptions& options) const;
  [[nodiscard]] LoopCore& loop() const noexcept { return *loop_; }
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  // "sync of /tmp/file".
  [[nodiscard]] std::string what(const char* verb) const noexcept;
  // A part of a write may have been written, or be written yet.
  [[nodiscard]] bool write_was_cancelled() const noexcept { return write_was_cancelled_; }
  void cancel_writes() noexcept { write_was_cancelled_ = true; }

  using Operations = std::list<FileOperation*>;
  [[nodiscard]] Operations::iterator add(FileOperation& operation) {
    return operations_.insert(operations_.end(), &operation);
  }
  void remove(Operations::iterator place) noexcept;

 private:
  const std::shared_ptr<LoopCore> loop_;
  UniqueFd fd_;
  const std::string about_;
  bool closed_ = false;
  bool write_was_cancelled_ = false;
  Operations operations_;  // in flight
};

// One verb: as many operations as it takes, through a buffer of its own, which lives until the last has completed.
class FileOperation final : public IoOwner, public std::enable_shared_from_this<FileOperation> {
 public:
  struct Verb {
    Operation::Kind kind = Operation::Kind::read;  // or write, or sync
    std::uint64_t offset = 0;
    std::span<std::byte> into{};        // of a read
    std::span<const std::byte> from{};  // of a write
    bool asks_size = false;             // and does nothing else
  };

  FileOperation(std::shared_ptr<FileCore> file, const Verb& verb, IoOptions options, IoCallback<std::size_t> done)
      : file_(std::move(file)),
        verb_(verb),
        timeout_(options.timeout),
        deadline_(deadline_after(file_->loop().now(), options.timeout)),
        done_(std::move(done)) {}

  // Throws std::bad_alloc.
  void begin();
  void cancel_wait(std::uint64_t wait) noexcept override;
  void file_closed() noexcept;

 private:
  static constexpr std::size_t kChunk = std::size_t{256} << 10;

  [[nodiscard]] std::size_t size() const noexcept {
    return verb_.kind == Operation::Kind::read ? verb_.into.size() : verb_.from.size();
  }
  [[nodiscard]] std::string what() const noexcept;
  [[nodiscard]] Result<std::size_t> size_of_file() const noexcept;
  void go_on() noexcept;
  void start();
  void completed(Completion completion) noexcept;
  void take(std::size_t count) noexcept;
  void end(Result<std::size_t> result) noexcept;
  void deliver();

  const std::shared_ptr<FileCore> file_;
  const Verb verb_;
  const Duration timeout_;
  const TimePoint deadline_;
  IoCallback<std::size_t> done_;  // null once nobody waits
  FileCore::Operations::iterator place_{};
  OperationId operation_ = 0;
  std::vector<std::byte> chunk_;
  std::size_t transferred_ = 0;
  std::optional<Result<std::size_t>> result_;
  DeferredMember<FileOperation, &FileOperation::deliver> delivery_;
};

}  // namespace leasepool::detail
