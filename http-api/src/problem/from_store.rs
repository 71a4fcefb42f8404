//! Problems from failures of the table.

use wechat::store::{MenuError, StoreError, StoreErrorKind};

use super::Problem;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        let problem = match error.kind() {
            StoreErrorKind::Unreachable | StoreErrorKind::Busy => Self::timeout(error.to_string()),
            StoreErrorKind::SetUp => Self::set_up(error.to_string()).with_hint(
                "Check TABLE_NAME, AWS_REGION, the table and the function's role. \
                 / 请检查 TABLE_NAME、AWS_REGION、数据表与函数角色的权限。",
            ),
            StoreErrorKind::Damaged => Self::set_up(error.to_string()).with_hint(
                "Something else has written that item: mend or delete it. / 该数据项被其他程序改写，请修正或删除。",
            ),
        };
        problem.for_operators()
    }
}

impl From<MenuError> for Problem {
    fn from(error: MenuError) -> Self {
        let detail = error.to_string();
        match error {
            MenuError::Store(error) => error.into(),
            MenuError::InProgress { retry_after } => Self::in_progress(detail, retry_after.unsigned_abs()),
            MenuError::TooLarge => Self::set_up(detail),
        }
    }
}
