#include "sipnat/net/fragments.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "net/checksum.h"
#include "sipnat/net/big_endian.h"

namespace sipnat {

namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kFragmentHeader = 8;
constexpr std::size_t kUnit = 8;  // offsets count in eights
constexpr std::size_t kLargestLength = 65535;

/// The headers of the first fragment get the length of the whole.
void finish(std::vector<std::uint8_t>& packet, std::size_t header_length) {
    if (packet[0] >> 4U == 6) {
        store_be16(packet, 4, packet.size() - kIpv6Header);
        return;
    }
    store_be16(packet, 2, packet.size());
    store_be16(packet, 10, 0);
    store_be16(packet, 10, Checksum{}.add(Bytes(packet).first(header_length)).value());
}

}  // namespace

struct Reassembly::Fragment {
    Name name;
    std::size_t offset = 0;
    bool last = false;
    std::vector<std::uint8_t> headers;  ///< as the whole packet has them, but for its length
    Bytes data;

    [[nodiscard]] std::size_t end() const { return offset + data.size(); }
    /// Every one has data, and all but the last whole eights; the whole packet fits its length
    /// field, which counts the headers in IPv4 and those behind the first 40 bytes in IPv6.
    [[nodiscard]] bool is_sound() const {
        const std::size_t counted =
            headers.size() - (name.source.family() == Family::ipv6 ? kIpv6Header : 0);
        return !data.empty() && (last || data.size() % kUnit == 0) &&
               end() + counted <= kLargestLength;
    }
};

std::optional<Reassembly::Fragment> Reassembly::read_ipv4(Bytes packet) {
    if (packet.size() < kIpv4Header) return std::nullopt;
    const std::size_t length = (packet[0] & 0x0fU) * std::size_t{4};
    const std::size_t end = load_be16(packet, 2);
    if (length < kIpv4Header || end < length || end > packet.size()) return std::nullopt;
    constexpr unsigned kMoreFragments = 0x2000;
    constexpr unsigned kOffset = 0x1fff;
    const unsigned flags = load_be16(packet, 6);
    if ((flags & (kMoreFragments | kOffset)) == 0) return std::nullopt;

    Fragment fragment;
    fragment.name = {IpAddress::ipv4(packet.subspan<12, 4>()),
                     IpAddress::ipv4(packet.subspan<16, 4>()), load_be16(packet, 4), packet[9]};
    fragment.offset = (flags & kOffset) * kUnit;
    fragment.last = (flags & kMoreFragments) == 0;
    fragment.headers.assign(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(length));
    store_be16(fragment.headers, 6, flags & ~(kMoreFragments | kOffset));
    fragment.data = packet.subspan(length, end - length);
    return fragment;
}

std::optional<Reassembly::Fragment> Reassembly::read_ipv6(Bytes packet) {
    constexpr std::uint8_t kHopByHop = 0;
    constexpr std::uint8_t kRouting = 43;
    constexpr std::uint8_t kFragment = 44;
    constexpr std::uint8_t kDestinationOptions = 60;
    if (packet.size() < kIpv6Header) return std::nullopt;
    const std::size_t end = kIpv6Header + load_be16(packet, 4);
    if (end > packet.size()) return std::nullopt;
    std::size_t names_next = 6;  // where the type of the header at `at` stands
    std::size_t at = kIpv6Header;
    while (packet[names_next] != kFragment) {
        const auto type = packet[names_next];
        if (type != kHopByHop && type != kRouting && type != kDestinationOptions)
            return std::nullopt;
        if (end - at < kUnit) return std::nullopt;
        const std::size_t length = (packet[at + 1] + std::size_t{1}) * kUnit;
        if (end - at < length) return std::nullopt;
        names_next = at;
        at += length;
    }
    if (end - at < kFragmentHeader) return std::nullopt;

    Fragment fragment;
    const unsigned flags = load_be16(packet, at + 2);
    fragment.name = {IpAddress::ipv6(packet.subspan<8, 16>()),
                     IpAddress::ipv6(packet.subspan<24, 16>()), load_be32(packet, at + 4), 0};
    fragment.offset = flags & 0xfff8U;
    fragment.last = (flags & 1U) == 0;
    fragment.headers.assign(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(at));
    fragment.headers[names_next] = packet[at];
    fragment.data = packet.subspan(at + kFragmentHeader, end - at - kFragmentHeader);
    return fragment;
}

std::optional<Reassembly::Fragment> Reassembly::read(Bytes packet) {
    if (packet.empty()) return std::nullopt;
    if (packet[0] >> 4U == 4) return read_ipv4(packet);
    if (packet[0] >> 4U == 6) return read_ipv6(packet);
    return std::nullopt;
}

Reassembly::Outcome Reassembly::insert(Datagram& datagram, const Fragment& fragment) {
    auto& pieces = datagram.pieces;
    const auto next = pieces.lower_bound(fragment.offset);
    if (next != pieces.end() && next->first == fragment.offset &&
        std::ranges::equal(next->second, fragment.data)) {
        return Outcome::held;  // the network made two of it
    }
    const bool meets_next = next != pieces.end() && next->first < fragment.end();
    bool meets_previous = false;
    if (next != pieces.begin()) {
        const auto& [offset, data] = *std::prev(next);
        meets_previous = offset + data.size() > fragment.offset;
    }
    const auto furthest =
        pieces.empty() ? 0 : pieces.rbegin()->first + pieces.rbegin()->second.size();
    const bool beyond = (datagram.size && fragment.end() > *datagram.size) ||
                        (fragment.last && (datagram.size || furthest > fragment.end()));
    if (meets_next || meets_previous || beyond) return Outcome::dropped;

    if (fragment.last) datagram.size = fragment.end();
    if (fragment.offset == 0) datagram.headers = fragment.headers;
    pieces.emplace(fragment.offset,
                   std::vector<std::uint8_t>(fragment.data.begin(), fragment.data.end()));
    datagram.held += fragment.data.size();
    return datagram.size == datagram.held ? Outcome::whole : Outcome::held;
}

Reassembly::Added Reassembly::add(Bytes packet, Time now) {
    forget_old(now);
    const auto fragment = read(packet);
    if (!fragment) return {};
    if (!fragment->is_sound()) return {Outcome::dropped, {}};
    auto datagram = std::ranges::find(datagrams_, fragment->name, &Datagram::name);
    if (datagram == datagrams_.end()) {
        if (datagrams_.size() == kMostDatagrams) give_up(datagrams_.begin());
        datagrams_.push_back({fragment->name, now, false, {}, {}, 0, {}});
        datagram = std::prev(datagrams_.end());
    }
    if (datagram->refused) return {Outcome::dropped, {}};
    const auto outcome = insert(*datagram, *fragment);
    if (outcome == Outcome::held) return {outcome, {}};
    if (outcome == Outcome::dropped) {
        datagram->refused = true;
        datagram->pieces.clear();
        ++given_up_;
        return {outcome, {}};
    }
    auto whole = std::move(datagram->headers);
    const auto header_length = whole.size();
    for (const auto& [offset, data] : datagram->pieces)
        whole.insert(whole.end(), data.begin(), data.end());
    datagrams_.erase(datagram);
    // Only the first fragment's headers count in it, and the others' may have been shorter.
    if (whole.size() > kLargestLength + (whole[0] >> 4U == 6 ? kIpv6Header : 0)) {
        ++given_up_;
        return {Outcome::dropped, {}};
    }
    finish(whole, header_length);
    return {Outcome::whole, std::move(whole)};
}

std::size_t Reassembly::waiting() const {
    return static_cast<std::size_t>(std::ranges::count(datagrams_, false, &Datagram::refused));
}

void Reassembly::forget_old(Time now) {
    while (!datagrams_.empty() && datagrams_.front().begun + kReassemblyTime <= now)
        give_up(datagrams_.begin());
}

void Reassembly::give_up(std::list<Datagram>::iterator datagram) {
    if (!datagram->refused) ++given_up_;
    datagrams_.erase(datagram);
}

}  // namespace sipnat
