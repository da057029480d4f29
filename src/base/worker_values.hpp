// WorkerValues: the objects that functions have made for the worker whose thread this is.
#pragma once

#include <string_view>
#include <typeinfo>
#include <vector>

#include "leasepool/worker_value.hpp"

namespace leasepool::detail {

// Destroys the last that was made first; a destructor may still use those before. One thread.
class WorkerValues {
 public:
  // While it lives, those of the thread that constructs it.
  class OnThisThread {
   public:
    explicit OnThisThread(WorkerValues& values) noexcept;
    OnThisThread(const OnThisThread&) = delete;
    OnThisThread& operator=(const OnThisThread&) = delete;
    ~OnThisThread();

   private:
    WorkerValues* const before_;
  };

  WorkerValues() = default;
  WorkerValues(const WorkerValues&) = delete;
  WorkerValues& operator=(const WorkerValues&) = delete;
  ~WorkerValues();

  [[nodiscard]] void* find(const std::type_info& type) const noexcept;
  void keep(const std::type_info& type, WorkerValue value);

 private:
  struct Kept {
    const std::type_info* type;
    WorkerValue value;
  };
  std::vector<Kept> kept_;
};

}  // namespace leasepool::detail
