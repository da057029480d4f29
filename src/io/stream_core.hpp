// StreamCore: a stream's descriptor, its reader and its writer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "io/stream_reader.hpp"
#include "io/stream_writer.hpp"
#include "leasepool/detail/io_wait.hpp"
#include "loop/loop_client.hpp"
#include "loop/loop_core.hpp"

namespace leasepool::detail {

// Loop thread only. Lives until its Stream is gone and its last operation has completed, and its descriptor with it.
class StreamCore final : public IoOwner, public LoopClient, public std::enable_shared_from_this<StreamCore> {
 public:
  enum class Kind : std::uint8_t {
    socket,  // what its operations use is theirs until they are cancelled
    pipe,    // or a terminal: something that can be waited for
    file,    // the system cannot cancel its operations
  };

  // `about`: what it is connected to, for messages; empty: asked for when it is needed. Throws std::bad_alloc.
  static std::shared_ptr<StreamCore> make(std::shared_ptr<LoopCore> loop, UniqueFd fd, std::string about = {});
  StreamCore(std::shared_ptr<LoopCore> loop, UniqueFd fd, std::string about);

  void cancel_wait(std::uint64_t wait) noexcept override;
  void loop_closing() noexcept override { close(); }
  void close() noexcept;

  // Throws LeasePoolError and std::invalid_argument.
  void check(const char* verb, const IoOptions& options) const;

  [[nodiscard]] StreamReader& reader() noexcept { return reader_; }
  [[nodiscard]] StreamWriter& writer() noexcept { return writer_; }
  [[nodiscard]] LoopCore& loop() const noexcept { return *loop_; }
  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  // Also while operations end after close().
  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  // "read from 127.0.0.1:80".
  [[nodiscard]] std::string what(const char* verb) const noexcept;
  [[nodiscard]] std::uint64_t new_wait() noexcept { return ++last_wait_; }

  // One of its operations has completed.
  void operation_ended() noexcept;

 private:
  const std::shared_ptr<LoopCore> loop_;
  UniqueFd fd_;
  const std::string about_;
  const Kind kind_;
  bool closed_ = false;
  std::uint64_t last_wait_ = 0;
  StreamReader reader_;
  StreamWriter writer_;
};

}  // namespace leasepool::detail
