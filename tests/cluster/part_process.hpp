// PartProcess: a node or a caller as a child of the test, which it kills, stops and lets go on.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "cluster/parts.hpp"
#include "support/waitable_children.hpp"

namespace cluster {

class PartProcess {
 public:
  // `before` runs in the child.
  explicit PartProcess(PartOptions options, void (*before)(void*) = nullptr, void* with = nullptr);
  PartProcess(const PartProcess&) = delete;
  PartProcess& operator=(const PartProcess&) = delete;
  ~PartProcess() { kill(); }

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  // Its fork servers, which write into its log, and the workers that those have forked.
  [[nodiscard]] std::vector<pid_t> children() const;
  [[nodiscard]] const PartOptions& options() const noexcept { return options_; }
  [[nodiscard]] std::string log() const;
  // How often it has written a line that begins so.
  [[nodiscard]] std::size_t lines(const std::string& with) const;
  // Whether it came to that within a time that only a broken test needs.
  [[nodiscard]] bool is_up() const;

  void signal(int number) const;
  // At once, also where it is stopped.
  void kill() noexcept;
  // SIGTERM. Whether it then ended by itself, and well.
  [[nodiscard]] bool ends();

 private:
  leasepool::test::WaitableChildren waitable_;
  PartOptions options_;
  pid_t pid_ = -1;
};

// How many lines of a text begin so.
[[nodiscard]] std::size_t lines_with(const std::string& text, const std::string& beginning);
[[nodiscard]] std::string text_of(const std::string& file);

}  // namespace cluster
