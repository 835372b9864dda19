// Capture files, read and written: the only user of libpcap.
//
//     auto capture = CaptureReader::open("in.pcap");
//     while (const auto frame = capture->next()) { if (!*frame) break; … (*frame)->bytes … }
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "ctl/link_layer.h"
#include "sipnat/base/result.h"

// libpcap's, under the names that it gives them.
struct pcap;
struct pcap_dumper;

namespace sipnat::ctl {

struct Frame {
    std::chrono::nanoseconds time{};      ///< since 1970, whatever the file's precision
    std::span<const std::uint8_t> bytes;  ///< valid until the next frame is read
    std::size_t length = 0;  ///< of the frame on the wire; more than its bytes: cut off
};

class CaptureReader {
  public:
    /// pcap or pcapng, of one link type that LinkLayer knows. "-" is standard input. Fails with an
    /// errno as its code when the file can't be opened, with none when it is no such capture.
    [[nodiscard]] static Result<CaptureReader> open(const std::string& name);

    [[nodiscard]] LinkLayer link() const { return link_; }
    /// Nothing at the end. Fails where the file breaks off or contradicts itself.
    [[nodiscard]] Result<std::optional<Frame>> next();

  private:
    friend class CaptureWriter;
    struct Close {
        void operator()(pcap* capture) const;
    };
    CaptureReader(pcap* capture, LinkLayer link, std::string name)
        : capture_(capture), link_(link), name_(std::move(name)) {}

    std::unique_ptr<pcap, Close> capture_;
    LinkLayer link_;
    std::string name_;
};

class CaptureWriter {
  public:
    /// A pcap file of the same link type, with nanoseconds, in the place of any file of that name.
    [[nodiscard]] static Result<CaptureWriter> create(const std::string& name,
                                                      const CaptureReader& like);

    void write(const Frame& frame);
    /// What could not be written, now or before.
    [[nodiscard]] Result<void> finish();

  private:
    struct Close {
        void operator()(pcap_dumper* file) const;
    };
    CaptureWriter(pcap_dumper* file, std::string name) : file_(file), name_(std::move(name)) {}

    std::unique_ptr<pcap_dumper, Close> file_;
    std::string name_;
};

}  // namespace sipnat::ctl
