//! The account's stock: making lines, and finding them.

use simdepot_domain::activation_code::ActivationCode;
use simdepot_domain::check_digits::luhn_ok;
use simdepot_domain::esim::EsimStatus;
use simdepot_domain::iccid::Iccid;
use simdepot_domain::msisdn::Msisdn;
use simdepot_domain::secret::Secret;
use simdepot_domain::sim::SimStatus;

use crate::line::{Delivered, Line, LineSpec, LineTaken, NewLine};
use crate::state::Twin;
use crate::subscriber::Subscriber;

impl Twin {
    /// Adds lines as the account's are delivered: ICCIDs of 19 digits with a Luhn digit, MSISDNs of 15 digits,
    /// matching ids of 32 hexadecimal digits.
    pub fn add_lines(&mut self, count: u32) -> Vec<LineSpec> {
        self.add_lines_as(count, self.config.delivered)
    }

    /// Adds lines that are delivered in another way than the account's usually are.
    pub fn add_lines_as(&mut self, count: u32, delivered: Delivered) -> Vec<LineSpec> {
        let mut added = Vec::new();
        for _ in 0..count {
            while let Some(line) = self.next_line(delivered) {
                // A number that a test has added by hand is passed over.
                if let Ok(spec) = self.add_line(line) {
                    added.push(spec);
                    break;
                }
            }
        }
        added
    }

    /// Adds one line as described.
    ///
    /// # Errors
    /// The ICCID or the MSISDN is another line's.
    pub fn add_line(&mut self, new: NewLine) -> Result<LineSpec, LineTaken> {
        let key = new.iccid.as_str().to_owned();
        if self.lines.contains_key(&key) {
            return Err(LineTaken::Iccid(new.iccid));
        }
        if let Some(msisdn) = new.msisdn.as_ref().filter(|msisdn| self.msisdns.contains_key(msisdn.as_str()))
        {
            return Err(LineTaken::Msisdn(msisdn.clone()));
        }
        let code = if new.physical { None } else { new.activation_code.or_else(|| self.make_code()) };
        let spec = LineSpec {
            iccid: new.iccid,
            msisdn: new.msisdn,
            sim_status: new.sim_status,
            activation_code: code,
            pin: Secret::new(format!("{:04}", self.ids.below(10_000))),
            puk: Secret::new(format!("{:08}", self.ids.below(100_000_000))),
        };
        if let Some(msisdn) = &spec.msisdn {
            self.msisdns.insert(msisdn.as_str().to_owned(), key.clone());
        }
        let esim_status = (!new.physical).then_some(new.esim_status);
        // A line has a rate plan from its preactivation on.
        let bare = matches!(spec.sim_status, SimStatus::Available | SimStatus::Loaded);
        let rate_plan = (!bare).then(|| self.config.rate_plan.clone());
        let subscriber = Subscriber { rate_plan, ..Subscriber::default() };
        self.lines.insert(key, Line::new(spec.clone(), esim_status, self.config.delivered_at, subscriber));
        Ok(spec)
    }

    /// A line by its ICCID.
    pub fn line(&self, iccid: &str) -> Option<&Line> {
        self.lines.get(iccid)
    }

    /// All lines in the order of their ICCIDs.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.values()
    }

    pub(crate) fn line_of_msisdn(&self, msisdn: &str) -> Option<&Line> {
        self.msisdns.get(msisdn).and_then(|iccid| self.lines.get(iccid))
    }

    fn make_code(&mut self) -> Option<ActivationCode> {
        ActivationCode::parse(&format!("1${}${}", self.config.smdp_address, self.ids.hex32())).ok()
    }

    /// The next pair of numbers; `None` when the hundred million of a seed are used up.
    fn next_line(&mut self, delivered: Delivered) -> Option<NewLine> {
        let (block, number) = (self.config.seed % 1000, self.lines_made);
        if number > 99_999_999 {
            return None;
        }
        self.lines_made += 1;
        let body = format!("8988247{block:03}{number:08}");
        let digits = (0..10).map(|check| format!("{body}{check}")).find(|digits| luhn_ok(digits))?;
        Some(NewLine {
            iccid: Iccid::parse(&digits).ok()?,
            msisdn: delivered
                .numbered
                .then(|| Msisdn::parse(&format!("8824{block:03}{number:08}")).ok())
                .flatten(),
            sim_status: delivered.sim_status,
            esim_status: EsimStatus::Released,
            physical: delivered.physical,
            activation_code: None,
        })
    }
}
