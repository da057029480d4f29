// SocketFile: the file that a Unix socket was bound to, which goes with its listener.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace leasepool::detail {

// Removes it in the end, unless another has taken its place under that path. Of a socket without a file it is empty.
class SocketFile {
 public:
  SocketFile() noexcept = default;
  explicit SocketFile(std::string path) noexcept : path_(std::move(path)) {
    struct stat status{};
    if (::stat(path_.c_str(), &status) != 0) path_.clear();
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  SocketFile(SocketFile&& other) noexcept
      : path_(std::exchange(other.path_, {})), device_(other.device_), inode_(other.inode_) {}
  SocketFile(const SocketFile&) = delete;
  SocketFile& operator=(const SocketFile&) = delete;
  SocketFile& operator=(SocketFile&&) = delete;
  ~SocketFile() { remove(); }

  void remove() noexcept {
    struct stat status{};
    const bool is_ours =
        !path_.empty() && ::stat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
    if (is_ours) (void)::unlink(path_.c_str());
    path_.clear();
  }

 private:
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace leasepool::detail
