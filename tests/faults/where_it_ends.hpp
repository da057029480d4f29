// Tells where the program was when it ended by a signal.
#pragma once

namespace faults {

// To the standard error, for addr2line(1), of this process alone.
void show_where_it_ends() noexcept;

}  // namespace faults
