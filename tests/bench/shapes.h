// INVITEs that are long in one way: what a stranger could send to make reading them take long.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace sipnat {

struct Shape {
    std::string_view name;
    /// About so many bytes of it, within what a datagram holds.
    std::string (*message)(std::size_t length);
};

[[nodiscard]] std::span<const Shape> shapes();

}  // namespace sipnat
