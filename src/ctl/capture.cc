#include "ctl/capture.h"

#include <pcap/pcap.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

namespace sipnat::ctl {

namespace {

/// A reassembled datagram with its link layer is the longest frame that is written.
constexpr int kLongestFrame = 262'144;

std::optional<LinkLayer> link_of(int type) {
    switch (type) {
        case DLT_EN10MB:
            return LinkLayer::ethernet;
        case DLT_RAW:
        case DLT_IPV4:
        case DLT_IPV6:
            return LinkLayer::ip;
        case DLT_LINUX_SLL:
            return LinkLayer::cooked;
        case DLT_LINUX_SLL2:
            return LinkLayer::cooked2;
        case DLT_NULL:
        case DLT_LOOP:
            return LinkLayer::loopback;
        default:
            return std::nullopt;
    }
}

std::string name_of(int type) {
    const char* name = pcap_datalink_val_to_name(type);
    return name == nullptr ? std::to_string(type) : name;
}

}  // namespace

void CaptureReader::Close::operator()(pcap* capture) const {
    pcap_close(capture);
}

void CaptureWriter::Close::operator()(pcap_dumper* file) const {
    pcap_dump_close(file);
}

Result<CaptureReader> CaptureReader::open(const std::string& name) {
    std::FILE* file = name == "-" ? stdin : std::fopen(name.c_str(), "rb");
    if (file == nullptr) return fail_errno("read capture", name, errno);
    std::array<char, PCAP_ERRBUF_SIZE> fault{};
    pcap_t* capture =
        pcap_fopen_offline_with_tstamp_precision(file, PCAP_TSTAMP_PRECISION_NANO, fault.data());
    if (capture == nullptr) {
        if (file != stdin) (void)std::fclose(file);
        return fail("read capture", name, fault.data());
    }
    const int type = pcap_datalink(capture);
    CaptureReader reader(capture, link_of(type).value_or(LinkLayer::ip), name);
    if (!link_of(type)) {
        return fail("read capture", name, "frames of type " + name_of(type) + " can't be read");
    }
    return reader;
}

Result<std::optional<Frame>> CaptureReader::next() {
    pcap_pkthdr* header = nullptr;
    const u_char* bytes = nullptr;
    const int got = pcap_next_ex(capture_.get(), &header, &bytes);
    if (got == PCAP_ERROR_BREAK) return std::optional<Frame>{};
    if (got != 1) return fail("read capture", name_, pcap_geterr(capture_.get()));
    // With nanosecond precision, tv_usec holds nanoseconds. pcapng could name any second.
    constexpr decltype(header->ts.tv_sec) kLatest = 4'294'967'295;
    const auto seconds = std::clamp<decltype(header->ts.tv_sec)>(header->ts.tv_sec, 0, kLatest);
    return Frame{std::chrono::seconds(seconds) + std::chrono::nanoseconds(header->ts.tv_usec),
                 {bytes, header->caplen},
                 header->len};
}

Result<CaptureWriter> CaptureWriter::create(const std::string& name, const CaptureReader& like) {
    const std::unique_ptr<pcap, CaptureReader::Close> kind(pcap_open_dead_with_tstamp_precision(
        pcap_datalink(like.capture_.get()), kLongestFrame, PCAP_TSTAMP_PRECISION_NANO));
    if (!kind) return fail("write capture", name, "out of memory");
    pcap_dumper_t* file = pcap_dump_open(kind.get(), name.c_str());
    if (file == nullptr) return fail("write capture", name, pcap_geterr(kind.get()));
    return CaptureWriter(file, name);
}

void CaptureWriter::write(const Frame& frame) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(frame.time);
    pcap_pkthdr header{};
    header.ts.tv_sec = static_cast<decltype(header.ts.tv_sec)>(whole.count());
    header.ts.tv_usec = static_cast<decltype(header.ts.tv_usec)>((frame.time - whole).count());
    header.caplen = static_cast<bpf_u_int32>(frame.bytes.size());
    header.len = static_cast<bpf_u_int32>(frame.length);
    pcap_dump(reinterpret_cast<u_char*>(file_.get()), &header, frame.bytes.data());
}

Result<void> CaptureWriter::finish() {
    const bool flushed = pcap_dump_flush(file_.get()) == 0;
    if (flushed && std::ferror(pcap_dump_file(file_.get())) == 0) return {};
    return fail("write capture", name_, "not all could be written");
}

}  // namespace sipnat::ctl
