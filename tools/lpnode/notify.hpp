// What systemd, or whoever reads its protocol, is told of this process.
#pragma once

#include <string_view>

namespace lpnode {

// As sd_notify(3): "READY=1", "STOPPING=1". Nothing where nobody asked for it.
void notify(std::string_view state) noexcept;

}  // namespace lpnode
