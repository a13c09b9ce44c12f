// npx sfdx-lwc-jest, or scripts/node/salesforce/lwc.test.mjs
const { jestConfig } = require('@salesforce/sfdx-lwc-jest/config');

const stubs = '<rootDir>/scripts/jest';

module.exports = {
  ...jestConfig,
  moduleNameMapper: {
    ...jestConfig.moduleNameMapper,
    '^lightning/platformUtilityBarApi$': `${stubs}/platformUtilityBarApi`,
  },
};
