// The memory of jobs: what one call gave back, the next one of the thread takes, so that calls in a steady flow
// allocate nothing.
#pragma once

#include <cstddef>

namespace leasepool::detail {

// Any thread; a block may be freed by another than took it. Aligned as operator new aligns. Throws std::bad_alloc.
void* allocate_job(std::size_t size);
void free_job(void* block, std::size_t size) noexcept;

}  // namespace leasepool::detail
